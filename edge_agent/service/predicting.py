"""`POST /v1/predict`: a picture becomes labels, and waits for a person where that is worth it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edge_agent.errors import StateError
from edge_agent.results import Prediction
from edge_agent.service.fields import Fields, query
from edge_agent.service.parts import Parts
from edge_agent.service.problems import Json

NAME_CHARACTERS = 255
MOST_LABELS = 1_000_000


async def predict(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `predict --json`; with `collect`, also what became of the picture in the queue."""
    asked = query(request)
    top = asked.number("top", 5, 1, MOST_LABELS) or 5
    collect = asked.flag("collect", parts.agent.settings.collect)
    name = asked.text_or_none("name")
    asked.close()
    form = await parts.bodies.picture(request)
    Fields(form.fields, "form").close()  # what they ask for goes into the query

    def work() -> tuple[Prediction, dict[str, object]]:
        seen = parts.agent.predict(form.picture, top, picture_name(name or form.name))
        return seen, {**seen.as_json(), **(_offered(parts, seen) if collect else {})}

    seen, facts = await parts.looking.run(work)
    parts.recent.keep(seen)
    return Json(facts)


def picture_name(name: str | None) -> str | None:
    """A picture's name as the journal keeps it: on one line, and not longer than a file's may be."""
    if not name:
        return None
    return "".join(character if character.isprintable() else "?" for character in name[-NAME_CHARACTERS:])


def _offered(parts: Parts, seen: Prediction) -> dict[str, object]:
    """What became of the picture in the queue; what cannot be kept is still predicted."""
    try:
        offer = parts.agent.queue.offer(seen)
    except StateError as error:
        return {"queue": {"kept": False, "reason": error.message, "score": None}}
    return {"queue": {"kept": offer.kept, "reason": offer.reason, "score": offer.score}}
