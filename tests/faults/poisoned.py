"""F3: a person who teaches nonsense, by mistake or on purpose: the guard holds, memory is bounded, and undo gives the very head back.

Four streams on a device that was taught twelve right corrections before: one wrong label for every picture, the same picture again and
again, one picture with two labels in turn, and a stream in which 15 of 100 labels are drawn by chance. The pictures are blends of real
photos, so their contexts lie where real ones do.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from fault import Fault, Outcome
from numpy.typing import NDArray
from on_device import ARTIFACT, PHOTOS, TRUTHS
from PIL import Image

from edge_agent import EdgeAgent
from edge_agent.settings import Settings

Taught = tuple[NDArray[np.uint8], str]
STREAMS = ("one wrong label", "one picture", "two labels in turn", "15 % by chance")
BY_CHANCE = 0.15
PAGE_BYTES = 4096
MOST_MIB = 48.0  # by which memory may grow: a full head, its solve, and what the journal keeps open


def blends(rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Pictures without end, and the label of the photo that prevails in each: two photos in one, shifted, in another light."""
    photos = [np.asarray(Image.open(path).convert("RGB"), np.float32) for path in PHOTOS]
    while True:
        first, second = rng.choice(len(photos), 2, replace=False)
        mixed = photos[first] + rng.uniform(0, 0.45) * (photos[second] - photos[first])
        moved = np.roll(mixed, rng.integers(-4, 5, 2), axis=(0, 1)) * rng.uniform(0.5, 1.4) + rng.normal(0, 6, mixed.shape)
        yield np.clip(moved, 0, 255).astype(np.uint8), TRUTHS[first]


def poison(stream: str, labels: tuple[str, ...], rng: np.random.Generator) -> Iterator[tuple[Taught, bool]]:
    """What is taught, and whether it is nonsense."""
    pictures = blends(rng)
    one, truth = next(pictures)
    wrong = [label for label in labels if label != truth]
    if stream == STREAMS[0]:
        yield from (((picture, "frog"), right != "frog") for picture, right in pictures)
    turn = 0
    while stream in STREAMS[1:3]:
        yield (one, wrong[0] if stream == STREAMS[1] else wrong[turn % 2]), True
        turn += 1
    for picture, right in pictures:
        label = str(rng.choice(labels)) if rng.random() < BY_CHANCE else right
        yield (picture, label), label != right


def teach(agent: EdgeAgent, stream: str, trials: int, rng: np.random.Generator) -> tuple[list[Taught], list[int], list[str]]:
    """The right ones that were accepted, the ids of the wrong ones, and what the guard let through."""
    right, wrong, failures = list[Taught](), list[int](), list[str]()
    size, factory = agent.info().sentinel_accuracy, agent.info().factory_accuracy
    before = size
    for number, (taught, nonsense) in enumerate(islice(poison(stream, agent.labels, rng), trials)):
        done = agent.correct(taught[0], taught[1], views=0, force=stream == STREAMS[1])  # else the second time is "right already"
        if done.verdict == "refused" or done.id is None:
            continue
        (wrong if nonsense else right).append(done.id if nonsense else taught)  # type: ignore[arg-type]
        after = done.sentinel.after
        settings = agent.settings
        if after < min(before, factory - settings.guard_total) - 1e-9 or after < before - settings.guard_drop - 1e-9:
            failures.append(f"{stream}, correction {number}: sentinel accuracy {before:.1%} → {after:.1%}")
        before = after
    return right, wrong, failures


def one_stream(stream: str, trials: int, seed: int, folder: Path) -> tuple[list[str], dict[str, int | float]]:
    """Teach, look at the sentinel and the memory, take the wrong ones back, and compare with a device that never heard them."""
    rng = np.random.default_rng([seed, STREAMS.index(stream)])
    agent = taught_rightly(folder / "poisoned")
    used = resident_mib()
    right, wrong, failures = teach(agent, stream, trials, rng)
    gc.collect()
    grown = resident_mib() - used
    if grown > MOST_MIB:
        failures.append(f"{stream}: memory grew by {grown:.0f} MiB")
    lost = agent.info().factory_accuracy - agent.info().sentinel_accuracy
    for number in reversed(wrong):
        agent.undo(number)
    clean = taught_rightly(folder / "clean")
    for picture, label in right:
        clean.correct(picture, label, views=0, force=True)
    if agent.head.digest() != clean.head.digest():
        failures.append(f"{stream}: after undo the head is not the one that never heard the {len(wrong)} wrong ones")
    agent.close()
    clean.close()
    return failures, {"wrong ones accepted": len(wrong), "sentinel points lost": round(100 * lost, 2), "MiB": round(grown, 1)}


def taught_rightly(state: Path) -> EdgeAgent:
    """A device that knows the twelve photos."""
    agent = EdgeAgent.open(ARTIFACT, state, settings=Settings())
    for path, truth in zip(PHOTOS, TRUTHS, strict=True):
        agent.correct(path, truth, views=0)
    return agent


def resident_mib() -> float:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES / 2**20


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """Every stream, with a quarter of the trials."""
    failures, facts, each = list[str](), dict[str, int | float | str](), -(-trials // len(STREAMS))
    for place, stream in enumerate(STREAMS):
        (folder / str(place)).mkdir()
        failed, found = one_stream(stream, each, seed, folder / str(place))
        failures += failed
        facts[stream] = ", ".join(f"{what} {value}" for what, value in found.items())
    return Outcome(each * len(STREAMS), tuple(failures), facts)


FAULTS = (
    Fault(
        "F3", "poisoned teaching: one wrong label for all, one picture again and again, two labels in turn, 15 % by chance",
        "sentinel accuracy stays within the guard's tolerance, memory within its bound; undo of the wrong ones gives the bit-equal head",
        "correction", 1000, 4000, run,
    ),
)  # fmt: skip
