"""What every measured process has in common: how long something takes, how much memory it had, and one JSON line at its end.

The standard library alone: each rival runs in an environment of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

WARM_UP = 3
STARTED = "BENCH_STARTED"  # when the process was started, as its parent's `time.time()` tells


def since_start_ms() -> float:
    """Milliseconds since the parent started this process."""
    return (time.time() - float(os.environ[STARTED])) * 1000


def median_ms(what: Callable[[int], object], times: int, afterwards: Callable[[], object] = lambda: None) -> float:
    """Median milliseconds of `what(0)`, `what(1)`, …; `afterwards` is not timed, and the first few calls do not count."""
    taken = []
    for place in range(WARM_UP + times):
        started = time.perf_counter()
        what(place)
        taken.append((time.perf_counter() - started) * 1000)
        afterwards()
    return statistics.median(taken[WARM_UP:])


def _of_status(key: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def peak_bytes() -> int:
    """The most memory that this process has had; `getrusage` would tell the greatest of it and of its parent."""
    return _of_status("VmHWM")


def resident_bytes() -> int:
    """The memory that this process has now."""
    return _of_status("VmRSS")


def written_bytes() -> int:
    """What this process has written so far."""
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())["wchar"])


def photos(folder: str) -> list[str]:
    """The JPEG files below a folder, in the same order for everyone."""
    return sorted(str(path) for path in Path(folder).rglob("*.jpg"))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median and maximum of several runs."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "runs": len(values)}


def answer(figures: Mapping[str, float]) -> None:
    """What was measured, for the parent."""
    print(json.dumps({**figures, "peak_bytes": peak_bytes()}))
