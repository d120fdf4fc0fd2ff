"""Who holds the state: asked of the kernel, which knows each lock's process and forgets it with the process, however that ends.

SQLite's locks are POSIX record locks. To ask about one through a descriptor of our own would be a mistake: closing it would drop every
lock that this process has on the file. Linux lists them in /proc/locks; elsewhere the holder stays unnamed.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

_LOCKS = "/proc/locks"
_SHORTEST = 120  # characters of a command line that are shown


def holder_of(path: Path) -> str:
    """The process that keeps others from writing to an SQLite file, in words.

    Args:
        path: of the database; its index lies beside it.

    Returns:
        Such as "process 4711 (python -m service), running since 2026-01-31T12:00:00Z", or "another process" where the system does not
        say which.
    """
    files = {identity for name in (f"{path}-shm", str(path)) if (identity := _identity(name))}
    try:
        with open(_LOCKS, encoding="utf-8", errors="replace") as locks:
            pids = sorted({pid for line in locks if (pid := _writer(line, files))})
    except OSError:
        return "another process"
    return " and ".join(_named(pid) + _since(pid) for pid in pids) or "another process, which has let go of it meanwhile"


def _writer(line: str, files: set[int]) -> int:
    """The process that has a lock for writing on one of these files, or 0; one that waits for it ("->") has none."""
    fields = line.split()
    if len(fields) < 8 or fields[1] != "POSIX" or fields[3] != "WRITE" or not fields[4].isdigit():
        return 0
    return int(fields[4]) if int(fields[5].rpartition(":")[2]) in files else 0


def _identity(name: str) -> int:
    """The file's inode; its device is left out, for some file systems name another one in the list than to `stat`."""
    try:
        return os.stat(name).st_ino
    except OSError:
        return 0


def _named(pid: int) -> str:
    if pid == os.getpid():
        return f"this process ({pid}), in another thread or agent"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        command = ""
    shown = "".join(c if c.isprintable() else "?" for c in command)
    return f"process {pid}" + (f" ({shown[:_SHORTEST]}{'…' if len(shown) > _SHORTEST else ''})" if shown else "")


def _since(pid: int) -> str:
    """When a process started: it has held the lock no longer than that; the system does not keep the time of a lock."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])
        booted = next(int(line.split()[1]) for line in Path("/proc/stat").read_text("ascii").splitlines() if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return ""
    started = datetime.fromtimestamp(booted + ticks / os.sysconf("SC_CLK_TCK"), timezone.utc)
    return f", running since {started:%Y-%m-%dT%H:%M:%SZ}"
