"""What asking a person about a picture is worth, and why, in words.

The worth is the chance that the model is wrong: one minus its calibrated probability ("least confidence", Settles 2009), where a picture
that lies further from the training data than nearly all of the sentinel is not taken at its word. The head changes with every answer, so
worths are taken anew from the head in use. Margin, entropy, core-set and BADGE were measured beside it: docs/queue.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.findings import UNUSUAL
from edge_agent.head import Head, softmax
from edge_agent.results import Ranked
from edge_agent.runtime import Seen

DOUBT = 0.15  # of the probability of a picture that is unlike all of the training data
_SIDE_BY_SIDE = 0.5  # a runner-up with at least this share of the first one's probability is named beside it
_SURE = 0.8
_TOP = 5


@dataclass(frozen=True)
class Question:
    """One picture as a question.

    Attributes:
        label, probability: the guess, calibrated (0…1).
        runner_up, runner_up_probability: the second guess; where there is one label alone, "" and 0.
        top: the most probable labels, five where there are as many, the first one first.
        score: what asking is worth (0…1).
        reason: why, in words.
    """

    label: str
    probability: float
    runner_up: str
    runner_up_probability: float
    top: tuple[Ranked, ...]
    score: float
    reason: str


def worths(probabilities: NDArray[np.float32], unusual: NDArray[np.float64]) -> NDArray[np.float64]:
    """What asking about `N` pictures is worth.

    Args:
        probabilities: `[N, C]`, calibrated.
        unusual: `[N]`, share of the sentinel pictures that have a nearer neighbour (0…1).

    Returns:
        `[N]`, 0…1.
    """
    strange = np.clip((unusual - UNUSUAL) / (1 - UNUSUAL), 0, 1)
    worth: NDArray[np.float64] = 1 - probabilities.max(1) * (1 - DOUBT * strange)
    return worth


def questions(head: Head, labels: Sequence[str], seen: Seen, unusual: NDArray[np.float64]) -> list[Question]:
    """`N` pictures as questions to the head in use.

    Args:
        head: in use.
        labels: of that head.
        seen: the pictures.
        unusual: `[N]`, as `Finder.unusual` gives it.

    Returns:
        One for each picture, in the order given.
    """
    probabilities = softmax(head.logits(seen))
    factory = seen.logits.argmax(1)
    found = []
    for row, worth, odd, before in zip(probabilities, worths(probabilities, unusual), unusual, factory, strict=True):
        order = np.argsort(-row, kind="stable")
        first, second = int(order[0]), int(order[1]) if len(order) > 1 else -1
        was = labels[before] if first != before else ""
        reason = _reason([(labels[i], float(row[i])) for i in order[:3]], float(odd), was)
        runner_up = (labels[second], float(row[second])) if second >= 0 else ("", 0.0)
        top = tuple(Ranked(labels[i], float(row[i])) for i in order[:_TOP])
        found.append(Question(labels[first], float(row[first]), *runner_up, top, float(worth), reason))
    return found


def _reason(best: Sequence[tuple[str, float]], unusual: float, was: str) -> str:
    """The most telling thing first; every part is true of the picture."""
    label, probability = best[0]
    rivals = [name for name, share in best[1:] if share >= _SIDE_BY_SIDE * probability]
    parts = []
    if was:
        parts.append(f"the model changed its mind: {was} at the factory, {label} now")
    if unusual >= 1:
        parts.append("unlike anything in training")
    elif unusual > UNUSUAL:
        parts.append("unlike nearly everything in training")
    if rivals:
        names = [label, *rivals]
        parts.append(f"between {', '.join(names[:-1])} and {names[-1]}")
    elif probability < _SURE:
        parts.append(f"not sure of {label}")
    return "; ".join(parts) or f"sure of {label}"
