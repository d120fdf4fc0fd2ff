"""The checks of the machine: disk, memory, clock."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from edge_agent.check import Check, Fault, conclude, readable
from edge_agent.checks_state import nearest
from edge_agent.nagios import Status
from edge_agent.state_reader import read_facts
from edge_agent.subject import PartFailed, Subject

EARLIEST, LATEST = datetime(2025, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc)
MEMORY_FILE, PROCESS_FILE = Path("/proc/meminfo"), Path("/proc/self/statm")
GROUP_FILE, GROUP_ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def check_disk(subject: Subject) -> Check:
    """Space and inodes where the state is kept, as far as a user who is not root may use them."""
    place = nearest(subject.state())
    free = shutil.disk_usage(place).free
    measures = [subject.health.measure("disk_free", free)]
    if hasattr(os, "statvfs"):
        facts = os.statvfs(place)
        if facts.f_files:  # some file systems have no fixed number of them
            measures.append(subject.health.measure("disk_inodes_free", facts.f_favail))
    hint = "free some space; until then corrections fail, predictions go on"
    return conclude("disk", f"{readable(free, 'B')} free at {place}", measures, hint)


def check_memory(subject: Subject) -> Check:
    """Memory that is left, by the kernel's own estimate and by the limit of the control group."""
    available = _available()
    if available is None:
        return Check("memory", Status.OK, "this system does not say how much memory is left")
    measures = [subject.health.measure("memory_available", available)]
    with suppress(OSError, ValueError, IndexError):
        pages = int(PROCESS_FILE.read_text("ascii").split()[1])
        measures.append(subject.health.measure("memory_used", pages * os.sysconf("SC_PAGE_SIZE")))
    detail = f"{readable(available, 'B')} left"
    return conclude("memory", detail, measures, "stop what else is running, raise the limit, or use a smaller network")


def check_clock(subject: Subject) -> Check:
    """The clock is set and has not gone back; corrections keep their order whatever it says, but their times would be wrong."""
    now, faults, measures = subject.now(), [], []
    hint = "set the clock (NTP); the order of corrections does not depend on it, their dates do"
    if not EARLIEST <= now < LATEST:
        faults.append(Fault(Status.WARNING, f"the clock says {now:%Y-%m-%d}", hint))
    with suppress(PartFailed, ValueError):  # without a journal there is nothing to compare with
        newest = subject.reading(lambda connection: read_facts(connection, 1)).newest_at
        if newest is not None and not faults:
            behind = (datetime.fromisoformat(newest) - now).total_seconds()
            measures.append(subject.health.measure("clock_behind", behind))
    return conclude("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC", measures, hint, faults)


def _available() -> float | None:
    """Bytes that can still be had without swapping, or None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in MEMORY_FILE.read_text("ascii").splitlines() if ":" in line)
        left = float(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None
    group = _left_in_group()
    return left if group is None else min(left, group)


def _left_in_group() -> float | None:
    """What the tightest control group (version 2) above this process leaves; files that could be dropped from its cache count as left."""
    left: list[float] = []
    with suppress(OSError, ValueError):
        own = next(line[3:] for line in GROUP_FILE.read_text("ascii").splitlines() if line.startswith("0::")).lstrip("/")
        folder = GROUP_ROOT / own if (GROUP_ROOT / own / "memory.max").exists() else GROUP_ROOT
        while folder.is_relative_to(GROUP_ROOT):
            with suppress(OSError, ValueError):  # "max" is no number, and the root has no limit
                limit, used = (float((folder / name).read_text("ascii")) for name in ("memory.max", "memory.current"))
                counters = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
                left.append(limit - used + float(counters.get("inactive_file", 0)))
            folder = folder.parent
    return min(left, default=None)
