"""How fast this device is: predictions, and corrections on a state that is thrown away.

What is taught are sentinel pictures, as the artifact holds them: those that the factory gets wrong with their right label, then the others
with its second choice, so that every correction has something to unlearn; past their number they come again, a little elsewhere. The guard
is asked, and overruled.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.errors import StateError
from edge_agent.image import PictureSource, find_pictures, read_picture_file
from edge_agent.results import Prediction, Ranked
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

REMEMBERED = (0, 32, 256)
"""How many corrections are remembered when one more is timed."""
_WARM_UP = 3
_ANOTHER = 0.8  # how far from a context, of length 1, another picture of the same kind lies


@dataclass(frozen=True)
class Times:
    """Of one thing done again and again: the median and the 95th percentile, and the extremes, in milliseconds."""

    runs: int
    p50_ms: float
    p95_ms: float
    min_ms: float
    max_ms: float


@dataclass(frozen=True)
class CorrectionTimes:
    """Of one correction beside so many remembered ones; the picture was predicted before.

    Attributes:
        remembered: corrections in the head; fewer than asked for where the artifact has no room for more.
        steps: gradient steps, the median.
        without_disk: solved and judged, nothing written.
        acknowledged: the same and written, as `correct` does it.
    """

    remembered: int
    steps: int
    without_disk: Times
    acknowledged: Times


@dataclass(frozen=True)
class Speed:
    """What was measured, and on what.

    Attributes:
        artifact, model, image_px, labels: the classifier.
        onnxruntime, provider, engine, threads: what ran it; 0 threads are as many as ONNX Runtime chooses.
        folder: where the state was that was thrown away: the time of its disk is in `acknowledged`.
        pictures: how many different ones were predicted.
        predict: from the picture's bytes to the labels.
        corrections: for each number of remembered ones.
    """

    artifact: str
    model: str
    image_px: tuple[int, int]
    labels: int
    onnxruntime: str
    provider: str
    engine: str
    threads: int
    folder: str
    pictures: int
    predict: Times
    corrections: tuple[CorrectionTimes, ...]


def measure_speed(
    artifact: str, settings: Settings, images: Sequence[str], runs: int, folder: str | None, remembered: Sequence[int] = REMEMBERED
) -> Speed:
    """Measure; what is on the device already is neither read nor changed.

    Args:
        artifact: its path.
        settings: provider, engine, threads and the rest; pictures are not kept.
        images: picture files, or directories of them; none: the artifact's golden samples.
        runs: of each thing, 1 or more.
        folder: where the state that is thrown away is made; None: in the system's folder for temporary files.
        remembered: numbers of remembered corrections, growing.

    Returns:
        The times.

    Raises:
        InputError: a picture cannot be used.
        ArtifactError, RuntimeUnavailable: as `EdgeAgent.open`.
        StateError: the folder cannot be written.
    """
    settings = dataclasses.replace(settings, keep_pictures=False)
    try:
        with tempfile.TemporaryDirectory(prefix="edge-agent-bench-", dir=folder) as state:
            agent = EdgeAgent.open(artifact, state, settings=settings)
            try:
                pictures = _pictures(agent, images)
                predict = _timed(lambda place: agent.predict(pictures[place % len(pictures)]), runs)
                corrections = tuple(_corrections(agent, remembered, runs))
                info = agent.info()
            finally:
                agent.close()  # a file that is open cannot be removed everywhere
    except OSError as error:
        place = folder or tempfile.gettempdir()
        raise StateError(f"no state can be made in {place}: {error.strerror}", "give --folder another directory") from None
    return Speed(
        str(artifact), info.model, info.image_px, info.labels, info.onnxruntime, info.provider, info.engine, settings.threads,
        os.path.dirname(state), len(pictures), predict, corrections,
    )  # fmt: skip


def lessons(artifact: Artifact, count: int) -> Iterator[tuple[Prediction, str]]:
    """Pictures to teach and their labels, the same ones for the same artifact.

    Args:
        artifact: opened.
        count: how many.

    Yields:
        A prediction of the factory head, and the right label where the factory is wrong, else its second choice.
    """
    rng, statistics = np.random.default_rng(0), artifact.statistics
    is_wrong = statistics.sentinel_logits.argmax(1) != statistics.sentinel_labels
    order = np.argsort(~is_wrong, kind="stable")
    for number in range(count):
        place = int(order[number % len(order)])
        row = slice(place, place + 1)
        noise = rng.normal(size=statistics.sentinel_context[row].shape)
        noise *= 0 if number < len(order) else _ANOTHER / np.linalg.norm(noise)
        context = statistics.sentinel_context[row] + noise
        seen = Seen(
            statistics.sentinel_logits[row], statistics.sentinel_features[row], (context / np.linalg.norm(context)).astype(np.float32)
        )
        first, second = (int(label) for label in np.argsort(-seen.logits[0], kind="stable")[:2])
        label = artifact.labels[int(statistics.sentinel_labels[place]) if is_wrong[place] else second]
        was = Ranked(artifact.labels[first], 0.0)
        yield Prediction(None, was.label, 0.0, (was,), f"{number:016x}", 0, 0.0, artifact.digest, seen, None), label


def _pictures(agent: EdgeAgent, images: Sequence[str]) -> list[PictureSource]:
    """The bytes of every picture, read once: a disk's first answer is not the network's."""
    if images:
        paths = [path for name in images for path in (find_pictures(name) if os.path.isdir(name) else [name])]
        return [read_picture_file(path, agent.settings.image_limits) for path in paths]
    return [agent.artifact.read(f"golden/{place:02}.png") for place in range(agent.artifact.manifest.golden.count)]


def _corrections(agent: EdgeAgent, remembered: Sequence[int], runs: int) -> Iterator[CorrectionTimes]:
    capacity = agent.settings.capacity_within(agent.artifact.manifest.capacity)
    wanted = sorted({min(count, capacity) for count in remembered})
    taught = list(lessons(agent.artifact, wanted[-1] + runs + _WARM_UP))
    active = 0
    for count in wanted:
        for seen, label in taught[active:count]:
            agent.correct(seen, label, force=True)
        active = count
        yield _beside(agent, active, taught[wanted[-1] :], runs)


def _beside(agent: EdgeAgent, active: int, taught: Sequence[tuple[Prediction, str]], runs: int) -> CorrectionTimes:
    """One correction more, each time from the same set: it is taken back, and that is not timed."""
    steps: list[int] = []

    def dry(place: int) -> None:
        steps.append(agent.correct(*taught[place], force=True, dry_run=True).steps)

    def written(place: int) -> None:
        agent.correct(*taught[place], force=True)

    without_disk = _timed(dry, runs)
    acknowledged = _timed(written, runs, lambda: agent.undo())
    return CorrectionTimes(active, int(np.median(steps)), without_disk, acknowledged)


def _timed(what: Callable[[int], object], runs: int, afterwards: Callable[[], object] = lambda: None) -> Times:
    """Times of `what(0)`, `what(1)`, …; `afterwards` is called behind each and not timed, and the first few calls do not count."""
    taken = []
    for place in range(_WARM_UP + runs):
        started = time.perf_counter()
        what(place)
        taken.append((time.perf_counter() - started) * 1000)
        afterwards()
    counted = taken[_WARM_UP:]
    p50, p95 = (float(value) for value in np.percentile(counted, (50, 95), method="inverted_cdf"))
    return Times(runs, p50, p95, min(counted), max(counted))
