"""What the process that loads an artifact for the first time may use, and how a process is held to it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass


@dataclass(frozen=True)
class TrialLimits:
    """What it may use: seconds of the clock and of the processor, and bytes of address space."""

    timeout_s: int
    memory_bytes: int


def limit_memory(memory_bytes: int) -> None:
    """Hold this process to so much address space from now on, as far as the system has such limits; a lower one in force stays."""
    _limit("RLIMIT_AS", memory_bytes)


def limit_process(limits: TrialLimits, open_files: int) -> None:
    """Hold this process to memory, processor time and open files, and let it leave no core dump."""
    limit_memory(limits.memory_bytes)
    _limit("RLIMIT_CPU", limits.timeout_s)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", open_files)


def _limit(kind: str, most: int) -> None:
    with contextlib.suppress(ImportError):
        import resource

        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, kind), (most, most))
