"""`/v1/queue`: the pictures that wait for a person, and what a person says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from edge_agent.queue import Waiting
from edge_agent.results import Correction
from edge_agent.service.fields import json_body, query
from edge_agent.service.once import key_of, once
from edge_agent.service.parts import Parts
from edge_agent.service.pictures import picture_response
from edge_agent.service.problems import Json

PAGE, MOST = 50, 10_000


async def waiting(parts: Parts, request: Request) -> Response:
    """Answer with what waits, the picture most worth asking about first."""
    asked = query(request)
    limit = asked.number("limit", PAGE, 1, MOST) or PAGE
    asked.close()
    found, count = await parts.reading.run(lambda: (parts.agent.queue.waiting(limit), len(parts.agent.queue)))
    return Json({"waiting": [_as_json(one) for one in found], "count": count})


async def picture(parts: Parts, request: Request) -> Response:
    """Answer with the file of a picture that waits."""
    sample_id = request.path_params["id"]
    return picture_response(await parts.reading.run(lambda: parts.agent.queue.picture(sample_id)))


async def label(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `queue label --json`, once it is on the disk; a refused one has left the queue too."""
    sample_id = request.path_params["id"]
    fields = await json_body(request, parts.bodies)
    name, new_label = fields.text("label"), fields.flag("new_label", False)
    fields.close()
    key = key_of(request)

    def work() -> Correction:
        with once(parts.agent, key):
            return parts.agent.queue.label(sample_id, name, new_label)

    done = await parts.teaching.run(work)
    parts.meter.corrected(done.verdict)
    return Json({"sample_id": sample_id, **asdict(done)})


async def skip(parts: Parts, request: Request) -> Response:
    """Take a picture out that is not worth an answer."""
    return await _set_aside(parts, request, parts.agent.queue.skip, "skipped")


async def unsure(parts: Parts, request: Request) -> Response:
    """Take a picture out because the person cannot tell."""
    return await _set_aside(parts, request, parts.agent.queue.unsure, "unsure")


async def clear(parts: Parts, request: Request) -> Response:
    """Empty the queue."""
    return Json({"cleared": await parts.teaching.run(parts.agent.queue.clear)})


async def _set_aside(parts: Parts, request: Request, act: Callable[[str], None], answer: str) -> Response:
    sample_id = request.path_params["id"]
    fields = await json_body(request, parts.bodies)
    fields.close()
    await parts.teaching.run(lambda: act(sample_id))
    return Json({"sample_id": sample_id, "answer": answer})


def _as_json(one: Waiting) -> dict[str, object]:
    return {
        "id": one.sample_id, "label": one.label, "probability": one.probability, "top": [asdict(ranked) for ranked in one.top],
        "reason": one.reason, "score": one.score, "image": one.image, "added_at": one.at, "picture_bytes": one.picture_bytes,
    }  # fmt: skip
