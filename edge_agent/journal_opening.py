"""How a journal is opened for reading: by its owner as it is, by everybody else without leaving a trace."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edge_agent.journal_file import FILE_NAME, open_for_reading
from edge_agent.state_reader import open_snapshot, signature

Files = tuple[object, ...]


def open_as(folder: Path, wait_ms: int) -> sqlite3.Connection | None:
    """Open the journal for reading.

    SQLite creates the log and the index of a journal that nobody has open; made by another user, they would lock its owner out.

    Args:
        folder: the state directory.
        wait_ms: how long to wait for another process.

    Returns:
        A connection in autocommit mode, or None where there is no journal yet.

    Raises:
        StateError: not ours, damaged, of a newer version or not readable.
        StateBusyError: another process holds it for itself alone.
    """
    if is_own(folder):
        return open_for_reading(folder, wait_ms)
    connection = open_snapshot(folder, wait_ms)
    if connection is not None:
        connection.execute("COMMIT")  # of its read transaction: who stays must not keep the log from being taken in
    return connection


def is_own(folder: Path) -> bool:
    """Whether the journal belongs to this user, or is not there yet."""
    if not hasattr(os, "geteuid"):
        return True
    try:
        return os.stat(f"{folder}/{FILE_NAME}").st_uid == os.geteuid()
    except OSError:
        return True


def files_of(folder: Path) -> Files:
    """What tells whether a connection still reads the files that lie there: which file it is, and for a copy of it, its times too."""
    if not is_own(folder):
        return signature(folder / FILE_NAME)
    return inode_of(folder) or ()


def inode_of(folder: Path) -> tuple[int, int] | None:
    """Which file the journal is; None where there is none."""
    try:
        facts = os.stat(f"{folder}/{FILE_NAME}")  # asked before every answer: to join a path takes as long as to ask the system
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
