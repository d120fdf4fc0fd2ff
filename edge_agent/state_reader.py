"""The state as a monitor reads it: nothing is created, not even SQLite's -shm file, and no writer ever waits for it.

A plain read-only connection is not enough: SQLite creates the -wal and -shm files of a journal that nobody has open, and where a
monitor runs as another user, the device's own user could then no longer write.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import StateBusyError, StateError
from edge_agent.journal_digests import of_bytes, unsealed_rows
from edge_agent.journal_facts import damaged_facts
from edge_agent.journal_file import FILE_NAME, checked, migrate, translated_errors, version_of
from edge_agent.journal_migrations import MIGRATIONS
from edge_agent.journal_rows import correction_rows, damaged_generations, read_labels, row_faults

_ATTEMPTS, _PAUSE_S = 20, 0.05  # a moment in which another process opens, closes or checkpoints the journal
VERDICTS = ("accepted", "already_correct", "refused")
MEMORY_FOLDER = "/dev/shm"


def open_snapshot(folder: Path, wait_ms: int) -> sqlite3.Connection | None:
    """Open the journal without leaving a trace; what the connection reads is one moment of it.

    Args:
        folder: the state directory.
        wait_ms: how long to wait where another process holds the file for itself alone.

    Returns:
        A connection in a read transaction, or None where there is no journal yet, or one whose creation was cut short.

    Raises:
        StateError: not ours, damaged, of a newer version or not readable.
        StateBusyError: it changes too fast, or another process holds it for itself alone.
    """
    path = folder / FILE_NAME
    with translated_errors(folder):
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return None
        if not os.access(path, os.R_OK):
            raise PermissionError(13, "Permission denied")
        connection = _opened(path, wait_ms, folder) if size else None
        if connection is None or not version_of(connection, folder):
            return None
        if version_of(connection, folder) < len(MIGRATIONS):
            connection = _in_memory(connection)
            migrate(connection, folder)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM facts").fetchone()  # here the transaction begins to see
        return connection


@dataclass(frozen=True)
class StateFacts:
    """What the journal says, read in SQL.

    Attributes:
        verdicts: how many corrections there are of each verdict.
        active: corrections in force.
        undone: corrections taken back.
        pictures, generations: rows.
        recent: verdict of the newest corrections, the newest first.
        recent_undone: how many of those were taken back.
        newest_at: time of the newest correction, or None.
    """

    verdicts: dict[str, int]
    active: int
    undone: int
    pictures: int
    generations: int
    recent: tuple[str, ...]
    recent_undone: int
    newest_at: str | None


def read_facts(connection: sqlite3.Connection | None, recent: int) -> StateFacts:
    """Count what the journal holds.

    Args:
        connection: of `open_snapshot`; None is an empty journal.
        recent: how many of the newest corrections to look at.

    Returns:
        The counts.
    """
    if connection is None:
        return StateFacts({}, 0, 0, 0, 0, (), 0, None)
    verdicts = dict(connection.execute("SELECT verdict, count(*) FROM corrections GROUP BY verdict").fetchall())
    query = "SELECT coalesce(sum(active), 0), coalesce(sum(undone_at IS NOT NULL), 0) FROM corrections"
    active, undone = connection.execute(query).fetchone()
    rows = connection.execute("SELECT verdict, undone_at, made_at FROM corrections ORDER BY id DESC LIMIT ?", (recent,)).fetchall()
    pictures, generations = (connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("pictures", "generations"))
    newest = str(rows[0][2]) if rows else None
    return StateFacts(
        verdicts, active, undone, pictures, generations, tuple(row[0] for row in rows), sum(row[1] is not None for row in rows), newest
    )


@dataclass(frozen=True)
class WaitingFacts:
    """What waits for a person: how many pictures, their bytes, and since when the oldest does, or None."""

    count: int
    size_bytes: int
    oldest_at: str | None


def read_waiting(connection: sqlite3.Connection | None) -> WaitingFacts:
    """Count what waits in the queue.

    Args:
        connection: of `open_snapshot`; None is an empty journal.

    Returns:
        The counts.
    """
    if connection is None:
        return WaitingFacts(0, 0, None)
    query = "SELECT count(*), coalesce(sum(length(picture)), 0), min(made_at) FROM waiting"
    return WaitingFacts(*connection.execute(query).fetchone())


def find_damage(connection: sqlite3.Connection) -> Iterator[str]:
    """Read every page and every blob of the journal.

    Args:
        connection: of `open_snapshot`.

    Yields:
        What is damaged, by name: SQLite's own findings, and each blob whose SHA-256 does not match.
    """
    for (finding,) in connection.execute("PRAGMA integrity_check(5)"):
        if finding != "ok":
            yield f"SQLite: {finding.strip().splitlines()[0]}"
    for query, words in _BLOBS:
        for number, blob, sha256 in connection.execute(query):
            if of_bytes(blob) != sha256:
                yield f"{words} {number}"
    yield from (fault.message for fault in row_faults(connection, correction_rows(connection)))
    yield from (f"head {number}" for number in damaged_generations(connection))
    try:
        read_labels(connection)
    except StateError as fault:
        yield fault.message
    yield from (f"the fact {name!r}" for name in damaged_facts(connection))
    for table, words in _SEALED:
        yield from (f"{words} {number}" for number in unsealed_rows(connection, table))


_SEALED = (
    ("waiting", "the waiting picture's row in place"),
    ("answers", "the answer in place"),
    ("pending", "the pending correction"),
    ("requests", "the record of the request in place"),
)
_BLOBS = (
    ("SELECT id, seen, seen_sha256 FROM corrections WHERE active OR length(seen) ORDER BY id", "correction"),
    (
        "SELECT correction, picture, picture_sha256 FROM pictures LEFT JOIN corrections ON id = correction ORDER BY correction",
        "the picture of correction",
    ),
    ("SELECT place, seen, seen_sha256 FROM waiting ORDER BY place", "what was seen of the waiting picture in place"),
    ("SELECT place, picture, sha256 FROM waiting ORDER BY place", "the waiting picture in place"),
)


def _opened(path: Path, wait_ms: int, folder: Path) -> sqlite3.Connection:
    """Beside a process that has it open: its log and index are there, and are read. With nobody: a copy in memory of what lies there."""
    location, log, index = urllib.parse.quote(str(path.absolute())), Path(f"{path}-wal"), Path(f"{path}-shm")
    for _ in range(_ATTEMPTS):
        if index.exists():
            with contextlib.suppress(sqlite3.OperationalError):
                return checked(f"file:{location}?mode=ro&readonly_shm=1", wait_ms, folder)
        found = _unchanged(path, lambda: _copied(path, log, wait_ms, folder))
        if found is not None:
            return found
        time.sleep(_PAUSE_S)
    raise StateBusyError(f"the state {folder} is in use by another process", "try again")


def _unchanged(path: Path, read: Callable[[], sqlite3.Connection]) -> sqlite3.Connection | None:
    """What was read, unless the files changed meanwhile: half of an old page and half of a new one would look like damage."""
    before = signature(path)
    try:
        found = read()
    except (sqlite3.Error, OSError):
        if signature(path) == before:
            raise
        return None
    if signature(path) == before:
        return found
    found.close()
    return None


def signature(path: Path) -> tuple[tuple[int, int, int] | None, ...]:
    """Which files lie there, how long they are and when they changed: the journal, its log, and the log of an older kind."""

    def of(name: str) -> tuple[int, int, int] | None:
        try:
            facts = os.stat(name)
        except FileNotFoundError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    return of(str(path)), of(f"{path}-wal"), of(f"{path}-journal")


def _copied(path: Path, log: Path, wait_ms: int, folder: Path) -> sqlite3.Connection:
    if not log.exists() or not log.stat().st_size:
        location = urllib.parse.quote(str(path.absolute()))
        return _in_memory(checked(f"file:{location}?mode=ro&immutable=1", wait_ms, folder))
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None) as copy:
        for source in (path, log):  # a crash left a log: SQLite itself must put it in
            shutil.copyfile(source, Path(copy, source.name))
        return _in_memory(checked(f"file:{urllib.parse.quote(copy)}/{FILE_NAME}", wait_ms, folder))


def _in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The same content in memory; the connection is closed."""
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with contextlib.closing(connection):
        connection.backup(memory)
    return memory
