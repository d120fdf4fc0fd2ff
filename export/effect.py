"""What a correction does on this artifact: mistakes of its own, taught one at a time by the device program, each from the factory head.

This is the one module of the export that uses the agent: what it measures is what a device does, and not what a second program would do.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_agent import EdgeAgent
from edge_agent.errors import InputError
from edge_agent.image import open_picture
from edge_agent.runtime import Seen, stacked
from edge_agent.settings import Settings
from edge_agent.views import views_of
from export.dataset import Picture, Progress

MOST = 24  # mistakes that are taught; they bound the uncertainty of what is said, and the time that it takes
LONGEST_S = 20.0
RESHOTS = 4
STAGE = "what a correction does"


@dataclass(frozen=True)
class Effect:
    """Single corrections, each from the factory head.

    Attributes:
        mistakes: sentinel pictures that the factory head gets wrong.
        taught: how many of them were corrected; the rest was left out for the time.
        accepted: of them, those that the guard let pass.
        right: of them, pictures that are right afterwards.
        least, median: of the probability of the taught label afterwards (0…1), over the accepted ones.
        reshots: re-shots that were looked at: other views of the accepted ones than those that were remembered.
        reshots_before, reshots_after: of them, how many are right.
        others: sentinel pictures that were not taught, all corrections together.
        unchanged: of them, how many keep their first label.
        lost, won: of them, how many were right and are wrong, and the other way round.
        correction_ms: median time until the correction was on the disk, its pass through the network included, on this machine.
    """

    mistakes: int
    taught: int
    accepted: int
    right: int
    least: float
    median: float
    reshots: int
    reshots_before: int
    reshots_after: int
    others: int
    unchanged: int
    lost: int
    won: int
    correction_ms: float


@dataclass(frozen=True)
class _Taught:
    """One accepted correction."""

    right: bool
    probability: float
    before: int
    after: int
    unchanged: int
    lost: int
    won: int


def measure_effect(artifact: Path, pictures: Sequence[Picture], progress: Progress) -> Effect | None:
    """Teach mistakes, spread over the labels, on a state that is thrown away.

    Args:
        artifact: its directory.
        pictures: those of the sentinel, in its order.
        progress: told how many are done.

    Returns:
        What they did; None where the factory head makes no mistake.

    Raises:
        ArtifactError: the artifact cannot be opened.
        RuntimeUnavailable: the engine cannot be had.
    """
    with tempfile.TemporaryDirectory() as state:
        agent = EdgeAgent.open(artifact, state, settings=Settings())
        kept = agent.artifact.statistics
        said = kept.sentinel_logits.argmax(axis=1)
        wrong = np.flatnonzero(said != kept.sentinel_labels)
        if not len(wrong):
            return None
        places = np.unique(np.linspace(0, len(wrong) - 1, min(MOST, len(wrong))).round().astype(int))
        results, times, started = list[_Taught | None](), list[float](), time.monotonic()
        for place in wrong[places]:
            if results and time.monotonic() - started > LONGEST_S:
                break
            progress(STAGE, len(results), len(places))
            found = _teach(agent, pictures[place], int(place), times)
            results.append(found)
        progress(STAGE, len(places), len(places))
        agent.close()
    return _summary(len(wrong), results, len(said) - 1, times)


def _teach(agent: EdgeAgent, picture: Picture, place: int, times: list[float]) -> _Taught | None:
    """Correct one picture, look, and take it back; None where the guard refused it or the picture can no longer be read."""
    kept = agent.artifact.statistics
    factory = agent.head
    try:
        image = open_picture(picture.path, agent.settings.image_limits)
        shots = _passes(agent, views_of(image, RESHOTS, picture.digest[16:32]))
        done = agent.correct(picture.path, agent.labels[picture.label])
    except InputError:
        return None
    times.append(done.elapsed_ms)
    if done.id is None or done.verdict != "accepted":
        return None
    head, seen = agent.head, Seen(kept.sentinel_logits, kept.sentinel_features, kept.sentinel_context)
    others = np.arange(len(kept.sentinel_labels)) != place
    before, after = (one.logits(seen).argmax(axis=1)[others] for one in (factory, head))
    truths = kept.sentinel_labels[others]
    agent.undo(done.id)
    return _Taught(
        right=done.now.label == agent.labels[picture.label],
        probability=done.now.probability,
        before=_right(factory.logits(shots), picture.label),
        after=_right(head.logits(shots), picture.label),
        unchanged=int((before == after).sum()),
        lost=int(((before == truths) & (after != truths)).sum()),
        won=int(((before != truths) & (after == truths)).sum()),
    )


def _passes(agent: EdgeAgent, images: Sequence[Image.Image]) -> Seen:
    return stacked([agent.predict(image).seen for image in images])


def _right(logits: NDArray[np.float32], label: int) -> int:
    return int((logits.argmax(axis=1) == label).sum())


def _summary(mistakes: int, results: Sequence[_Taught | None], others: int, times: Sequence[float]) -> Effect:
    good = [one for one in results if one is not None]
    chances = [one.probability for one in good] or [0.0]
    return Effect(
        mistakes, len(results), len(good), sum(one.right for one in good), min(chances), float(np.median(chances)), RESHOTS * len(good),
        sum(one.before for one in good), sum(one.after for one in good), others * len(good), sum(one.unchanged for one in good),
        sum(one.lost for one in good), sum(one.won for one in good), float(np.median(times)) if times else 0.0,
    )  # fmt: skip
