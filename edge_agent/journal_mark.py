"""The mark beside the journal: how far it had come. A journal that ends before its mark was replaced by an older copy of itself.

Such a copy is valid in every byte, so nothing inside of it can tell. The mark is written after each commit, beside its name and renamed,
and not forced to the disk: it is a lower bound, and where a power cut loses it, nothing but this one check is lost until the next commit.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import StateError
from edge_agent.journal_digests import of_values
from edge_agent.journal_facts import IDENTITY, commits, read_fact

MARK_NAME = "journal.mark"
_LONGEST = 200


@dataclass(frozen=True)
class Mark:
    """Which state a directory holds, and the number of its last commit that is known."""

    identity: str
    commits: int


def write_mark(folder: Path, identity: str, number: int) -> None:
    """Say how far the journal has come, after its commit; where that cannot be written, the correction is safe all the same."""
    content = f"{identity} {number} {of_values((identity, number))[:16]}\n"
    beside = folder / f".{MARK_NAME}.{os.getpid()}"
    with contextlib.suppress(OSError):
        try:
            beside.write_text(content, "utf-8")
            os.replace(beside, folder / MARK_NAME)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()


def read_mark(folder: Path) -> Mark | None:
    """The mark, or None where there is none, or one that was torn. Read it before the journal: it must not be younger."""
    try:
        with open(folder / MARK_NAME, encoding="utf-8") as file:
            identity, number, sealed = file.read(_LONGEST).split()
        return Mark(identity, int(number)) if of_values((identity, int(number)))[:16] == sealed else None
    except (OSError, ValueError):
        return None


def mark_fault(mark: Mark | None, connection: sqlite3.Connection | None, folder: Path) -> StateError | None:
    """What a mark says against the journal, or None.

    Args:
        mark: read before the journal was opened.
        connection: of the journal; None where there is none.
        folder: for the message.

    Raises:
        StateError: the journal's own number is damaged.
    """
    if mark is None:
        return None
    if connection is None:
        found = f"the journal in {folder} is gone, which had come to commit {mark.commits}"
    else:
        identity, number = read_fact(connection, IDENTITY), commits(connection)
        if identity == mark.identity and number >= mark.commits:
            return None
        reached = f"it ends at commit {number}, this directory had come to {mark.commits}"
        found = f"the journal in {folder} was replaced: {reached if identity == mark.identity else 'it is of another state'}"
    return StateError(found, f"put the right one back; or to go on without it, remove {folder / MARK_NAME}")
