"""`/v1/labels`: the labels there are, one more, one less."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edge_agent.service.fields import json_body
from edge_agent.service.parts import Parts
from edge_agent.service.problems import Json, Problem


async def labels(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `labels --json`."""

    def work() -> dict[str, object]:
        known = parts.agent.labels
        return {"labels": known, "added": known[len(parts.agent.artifact.labels) :], "spare_classes": parts.agent.spare_classes}

    return Json(await parts.reading.run(work))


async def add(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `labels add --json`, once it is on the disk."""
    fields = await json_body(request, parts.bodies)
    name = fields.text("name")
    fields.close()

    def work() -> int:
        if name in parts.agent.labels:
            raise Problem(409, "conflict", f"label {name!r} exists already", "correct a picture with it")
        return parts.agent.add_label(name)

    return Json({"label": name, "spare_classes": await parts.teaching.run(work)}, 201)


async def remove(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `labels remove --json`, once it is on the disk."""
    name = request.path_params["name"]

    def work() -> int:
        if name not in parts.agent.labels:
            raise Problem(404, "not_found", f"label {name[:128]!r} does not exist", "see GET /v1/labels")
        return parts.agent.remove_label(name)

    return Json({"label": name, "spare_classes": await parts.teaching.run(work)})
