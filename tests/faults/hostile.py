"""F4: hostile artifacts, each refused with its reason, and not one byte written outside of the state.

The corpus is data: `hostile_files.py` and `hostile_graphs.py`. Each case is made from a copy of the sound artifact in a small world of its
own, with files around it that an attack could reach, and is opened as a program would open it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fault import Fault, Outcome
from hostile_case import Case
from on_device import ARTIFACT

from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError
from edge_agent.settings import Settings

LIMITS = Settings(trial_timeout_s=8, trial_memory_bytes=2**30)


def corpus() -> tuple[Case, ...]:
    """Every case; those with graphs need the package `onnx`."""
    import hostile_files
    import hostile_graphs

    return (*hostile_files.CASES, *hostile_graphs.CASES)


def spread(cases: Sequence[Case], count: int) -> list[Case]:
    """So many of them, evenly; all of them where there are no more."""
    return [cases[place * len(cases) // count] for place in range(min(count, len(cases)))] if count < len(cases) else list(cases)


def seen(world: Path) -> dict[str, tuple[int, int, int]]:
    """Everything that lies in the world: kind, size, time of the last change."""
    found = {}
    for path in sorted(world.rglob("*")):
        facts = os.lstat(path)
        found[path.relative_to(world).as_posix()] = (facts.st_mode, facts.st_size, facts.st_mtime_ns)
    return found


@contextmanager
def inside(world: Path) -> Any:
    """Work in this world: its temporary folder, its home, its current directory."""
    names = {"TMPDIR": "tmp", "HOME": "home", "XDG_STATE_HOME": "home/state", "XDG_CACHE_HOME": "home/cache"}
    before, place = {name: os.environ.get(name) for name in names}, os.getcwd()
    for name, folder in names.items():
        (world / folder).mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(world / folder)
    os.chdir(world)
    try:
        yield
    finally:
        os.chdir(place)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def attempt(case: Case, world: Path) -> str:
    """Make the case and open it; what is wrong with what came of it, or nothing."""
    folder = shutil.copytree(ARTIFACT, world / "artifact")
    (world / "secret.txt").write_text("0123456789abcdef")
    case.make(folder)
    with inside(world):
        before = seen(world)
        try:
            EdgeAgent.open(folder, world / "state", settings=LIMITS).close()
            return "it was accepted"
        except ArtifactError as error:
            if "\n" in str(error) or not error.hint:
                return f"its refusal is not one line with a hint: {error!s}"
            if not re.search(case.words if "|" in case.words else re.escape(case.words), error.message):
                return f"its refusal does not say {case.words!r}: {error.message[:200]}"
        except BaseException as error:
            return f"it raised {type(error).__name__}: {error!s:.200}"
        changed = set(seen(world).items()) ^ set(before.items())
        return f"it changed {sorted(name for name, _ in changed)[:3]}" if changed else ""


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """The corpus, or a part of it spread over all of it; the sound artifact, which must open, is the proof that each harm is the case's."""
    cases, failures, slowest = spread(corpus(), trials), list[str](), ("", 0.0)
    Artifact.open(ARTIFACT)
    EdgeAgent.open(ARTIFACT, folder / "sound", settings=LIMITS).close()
    for case in cases:
        world = folder / case.name
        world.mkdir()
        started = time.monotonic()
        fault = attempt(case, world)
        took = time.monotonic() - started
        slowest = max(slowest, (case.name, took), key=lambda pair: pair[1])
        if fault:
            failures.append(f"{case.name} ({case.what}): {fault}")
        shutil.rmtree(world)
    facts = {"slowest": f"{slowest[0]}, {slowest[1]:.1f} s", "bytes written elsewhere": 0 if not failures else "see failures"}
    return Outcome(len(cases), tuple(failures), facts)


FAULTS = (
    Fault(
        "F4", "hostile artifacts: manifest, names, files, labels, statistics, graphs, parameters, memory, time, golden outputs",
        "each refused with the reason that names it, and nothing written anywhere", "artifact", 40, 136, run,
    ),
)  # fmt: skip
