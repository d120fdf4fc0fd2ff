"""`GET /v1/accuracy`: how good the classifier is, correction by correction: on the sentinel set, and as far as people's answers tell.

People answer about pictures that were asked because the model was unsure, or that somebody saw to be wrong. So the share of answers that
the model had right is not the accuracy of all pictures, and as a rule lies below it; its course says whether the field gets easier.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import Response

from edge_agent.journal_queue import Answer
from edge_agent.recorded import Recorded
from edge_agent.service.parts import Parts
from edge_agent.service.problems import Json

WINDOW = 50
"""The share is taken over so many of the last answers."""
MOST_POINTS = 1000
_Z = 1.959964  # 95 % of a normal distribution
BASIS = "answers of people, given where the model was unsure or seen to be wrong: over all pictures it is right more often"


@dataclass(frozen=True)
class Share:
    """How many of the last answers the model had right.

    Attributes:
        at: time of the last one, ISO 8601 in UTC; "" where there is none.
        answers: how many are counted.
        right: of them.
        share: right / answers; None without one.
        low, high: Wilson's interval at 95 %; the widest there is without an answer.
    """

    at: str
    answers: int
    right: int
    share: float | None
    low: float
    high: float


async def accuracy(parts: Parts, request: Request) -> Response:
    """Answer with both series, the first point first; of each the last 1000."""

    def work() -> dict[str, object]:
        info = parts.agent.info()
        history, answers = parts.agent.history(), parts.agent.queue.answers()
        shares = field_shares(history, answers)
        sentinel = {"factory": info.factory_accuracy, "now": info.sentinel_accuracy, "size": parts.agent.artifact.manifest.sentinel.size}
        field = {"now": asdict(shares[-1] if shares else share_of("", ())), "window": WINDOW, "basis": BASIS}
        return {
            "sentinel": {**sentinel, "series": [_sentinel_point(entry) for entry in history[-MOST_POINTS:]]},
            "field": {**field, "series": [asdict(share) for share in shares[-MOST_POINTS:]]},
        }

    return Json(await parts.reading.run(work))


def field_shares(history: Sequence[Recorded], answers: Sequence[Answer]) -> list[Share]:
    """The share of right answers after each answer, over the last `WINDOW`.

    Args:
        history: corrections; one that was undone says nothing: the person was mistaken.
        answers: what was said of pictures that waited.

    Returns:
        One for each answer, in the order of their times.
    """
    said = [(entry.made_at, entry.was_label == entry.label) for entry in history if entry.undone_at is None]
    corrected = {entry.sample_id for entry in history}
    said += [(answer.at, True) for answer in answers if answer.label is not None and answer.sample_id not in corrected]
    said.sort()
    return [share_of(said[place][0], [right for _, right in said[max(0, place + 1 - WINDOW) : place + 1]]) for place in range(len(said))]


def share_of(at: str, right: Sequence[bool]) -> Share:
    """Right answers among some, with Wilson's score interval (Wilson 1927)."""
    count, hits = len(right), sum(right)
    if not count:
        return Share(at, 0, 0, None, 0.0, 1.0)
    share, z2 = hits / count, _Z * _Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    low, high = max(0.0, middle - half) if hits else 0.0, min(1.0, middle + half) if hits < count else 1.0
    return Share(at, count, hits, share, low, high)


def _sentinel_point(entry: Recorded) -> dict[str, object]:
    accepted = entry.verdict != "refused"
    return {
        "id": entry.id, "at": entry.made_at, "generation": entry.generation, "verdict": entry.verdict, "label": entry.label,
        "accuracy": entry.sentinel.after if accepted else entry.sentinel.before, "standing": entry.standing,
    }  # fmt: skip
