"""M1: a device that runs for months: many predictions, many corrections, many starts. Memory, descriptors, threads and state stay bounded.

After a warm-up of 5 000 predictions (fewer where fewer trials are asked for), and of as many corrections as fill the limits, nothing may
grow by more than 4 MiB. A start is an agent that opens artifact, backbone and state anew, answers and closes.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path

from fault import Fault, Outcome
from field import Field
from on_device import ARTIFACT

from edge_agent.agent import EdgeAgent
from edge_agent.journal_file import FILE_NAME
from edge_agent.settings import Settings

PAGE_BYTES = 4096
MOST_MIB = 4.0
WARM_UP, ACTIVE = 5000, 100
HISTORY_BYTES = 1200  # of a correction that acts no longer: its row is kept for ever, what was seen of it is not
SETTINGS = Settings(kept_pictures=50, kept_generations=8, kept_unused=50)
SEEN_BYTES = 7000  # of a correction that acts, or of one of `kept_unused`
HEAD_BYTES = 64 * 1024
LOG_BYTES = 5 * 1024**2


def resident_mib() -> float:
    """What this process holds, after what can be given back was."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES / 2**20


def counted() -> tuple[int, int]:
    """Open descriptors and threads of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def teach(device: Field, agent: EdgeAgent, first: int, count: int) -> None:
    """Corrections, all taken back whenever `ACTIVE` of them act."""
    for number in range(first, first + count):
        agent.correct(device.seen[number % len(device.seen)], device.labels[number % len(device.labels)], views=0, force=True)
        if number % ACTIVE == ACTIVE - 1:
            agent.reset()


def grown(name: str, warm: Callable[[], None], work: Callable[[], None]) -> tuple[float, list[str]]:
    """By how much memory grows with some work after a warm-up, and what grew that must not."""
    warm()
    memory, (descriptors, threads) = resident_mib(), counted()
    work()
    more, now = resident_mib() - memory, counted()
    faults = [f"{name}: memory rose by {more:.1f} MiB"] if more > MOST_MIB else []
    faults += [f"{name}: {now[0]} descriptors, {descriptors} before"] if now[0] > descriptors else []
    return more, faults + ([f"{name}: {now[1]} threads, {threads} before"] if now[1] > threads else [])


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """`trials` predictions, a tenth as many corrections, and a start for each 500 predictions."""
    device, corrections, starts, share = Field(folder), trials // 10, max(5, trials // 500), min(1.0, trials / 20_000)
    state, facts, failures = folder / "state", dict[str, int | float | str](), list[str]()
    with device.agent(state, SETTINGS) as agent:

        def predict(count: int) -> None:
            for number in range(count):
                agent.predict(device.pictures[number % len(device.pictures)])

        facts["most MiB by predictions"], found = grown("predictions", lambda: predict(int(WARM_UP * share)), lambda: predict(trials))
        failures += found
        warm = max(2 * ACTIVE, corrections // 10)
        facts["most MiB by corrections"], found = grown(
            "corrections", lambda: teach(device, agent, 0, warm), lambda: teach(device, agent, warm, corrections)
        )
        failures += found

    def start(count: int) -> None:
        for number in range(count):
            one = EdgeAgent.open(ARTIFACT, state, settings=SETTINGS)
            one.predict(device.pictures[number % len(device.pictures)])
            one.close()

    facts["most MiB by starts"], found = grown("starts", lambda: start(5), lambda: start(starts))
    failures += found
    facts |= {name: round(value, 1) for name, value in facts.items() if isinstance(value, float)}
    size = sum(path.stat().st_size for path in state.iterdir() if path.name.startswith(FILE_NAME))
    pictures = max(len(picture) for picture in device.pictures) * SETTINGS.kept_pictures
    most = (warm + corrections) * HISTORY_BYTES + (ACTIVE + 64 + SETTINGS.kept_unused) * SEEN_BYTES * 2 + pictures
    most += SETTINGS.kept_generations * HEAD_BYTES + LOG_BYTES
    facts |= {"corrections": corrections, "starts": starts, "most bytes of the state": size}
    if size > most:
        failures.append(f"the state has {size} bytes, its settings allow {most}")
    failures += device.faults_of(state)
    return Outcome(trials, tuple(failures), facts)


FAULTS = (
    Fault(
        "M1", "a long life: predictions, a tenth as many corrections, and a start for each 500",
        "memory rises by at most 4 MiB, descriptors and threads not at all, the state is bounded by its settings",
        "prediction", 5000, 100_000, run,
    ),
)  # fmt: skip
