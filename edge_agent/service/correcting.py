"""`/v1/corrections`: teach a picture's right label, look at what was taught, take it back."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import Response

from edge_agent.results import Correction, Prediction, Undo
from edge_agent.service.bodies import media_type
from edge_agent.service.fields import Fields, json_body, query
from edge_agent.service.once import key_of, once
from edge_agent.service.parts import Parts
from edge_agent.service.pictures import picture_response
from edge_agent.service.predicting import picture_name
from edge_agent.service.problems import Json, Problem

PAGE, MOST = 50, 1000
LAST_NUMBER = 2**53 - 1


@dataclass(frozen=True)
class Lesson:
    """What a person said: see `EdgeAgent.correct`; `views` is None for as many as the settings say."""

    label: str
    new_label: bool
    force: bool
    dry_run: bool
    views: int | None


async def correct(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `correct --json` and the sample id, once it is on the disk; a refused one is an answer too."""
    if media_type(request) == "multipart/form-data":
        form = await parts.bodies.picture(request)
        lesson = _lesson(Fields(form.fields, "form"))
        seen = await parts.looking.run(lambda: parts.agent.predict(form.picture, name=picture_name(form.name)))
        parts.recent.keep(seen)
    else:
        fields = await json_body(request, parts.bodies)
        sample_id = fields.text("sample_id")
        lesson = _lesson(fields)
        seen = _known(parts, sample_id)
    key = key_of(request)
    done = await parts.teaching.run(lambda: _taught(parts, seen, lesson, key))
    parts.meter.corrected(done.verdict)
    return Json({"sample_id": seen.sample_id, **asdict(done)})


async def history(parts: Parts, request: Request) -> Response:
    """Answer with what was taught, the last one first, a page at a time."""
    asked = query(request)
    limit = asked.number("limit", PAGE, 1, MOST) or PAGE
    before = asked.number("before", LAST_NUMBER, 1, LAST_NUMBER) or LAST_NUMBER
    asked.close()
    entries = await parts.reading.run(parts.agent.history)
    older = [entry for entry in reversed(entries) if entry.id < before]
    page = older[:limit]
    following = page[-1].id if len(older) > len(page) else None
    return Json({"corrections": [asdict(entry) for entry in page], "count": len(entries), "before": following})


async def picture(parts: Parts, request: Request) -> Response:
    """Answer with the picture that was kept with a correction."""
    number = _number(request)
    found = await parts.reading.run(lambda: parts.agent.picture(number))
    if found is None:
        raise Problem(404, "not_found", f"no picture is kept with correction {number}", "see GET /v1/corrections")
    return picture_response(found)


async def undo(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `undo --json`, once it is on the disk."""
    number = _number(request)
    fields = await json_body(request, parts.bodies)
    fields.close()
    key = key_of(request)
    return Json(asdict(await parts.teaching.run(lambda: _taken_back(parts, number, key))))


def _lesson(fields: Fields) -> Lesson:
    label, new_label = fields.text("label"), fields.flag("new_label", False)
    lesson = Lesson(label, new_label, fields.flag("force", False), fields.flag("dry_run", False), fields.number("views", None, 0, 8))
    fields.close()
    return lesson


def _known(parts: Parts, sample_id: str) -> Prediction:
    found = parts.recent.get(sample_id)
    if found is None:
        hint = "send the picture itself, or predict it again; one that waits: POST /v1/queue/{id}/label"
        raise Problem(404, "not_found", f"sample {sample_id[:64]!r} is not among the last predictions", hint)
    return found


def _taught(parts: Parts, seen: Prediction, lesson: Lesson, key: str | None) -> Correction:
    views = parts.agent.settings.views if lesson.views is None else lesson.views
    new_label, dry_run, force = lesson.new_label, lesson.dry_run, lesson.force
    with once(parts.agent, None if dry_run else key):
        return parts.agent.correct(seen, lesson.label, new_label=new_label, views=views, dry_run=dry_run, force=force)


def _taken_back(parts: Parts, number: int, key: str | None) -> Undo:
    """Take one correction back; nothing else of this process writes meanwhile.

    Raises:
        Problem: it does not exist, or does not act any more.
    """
    entry = next((entry for entry in parts.agent.history() if entry.id == number), None)
    if entry is None:
        raise Problem(404, "not_found", f"correction {number} does not exist", "see GET /v1/corrections")
    if not entry.active:
        fault = "was refused" if entry.undone_at is None else "was undone before"
        raise Problem(409, "conflict", f"correction {number} {fault}", "see GET /v1/corrections")
    with once(parts.agent, key):
        return parts.agent.undo(number)


def _number(request: Request) -> int:
    """The correction's number in the path.

    Raises:
        Problem: it is none that a correction can have.
    """
    text = request.path_params["id"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise Problem(404, "not_found", f"correction {text[:40]!r} does not exist", "see GET /v1/corrections")
    return int(text)
