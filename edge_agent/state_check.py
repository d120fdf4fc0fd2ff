"""`edge-agent state check`: every digest, SQLite's own integrity, the mark, and that the corrections give the head in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_agent.artifact import Artifact
from edge_agent.errors import StateError
from edge_agent.fold import TOLERANCE, fold_difference
from edge_agent.journal import Journal
from edge_agent.journal_file import FILE_NAME, translated_errors
from edge_agent.journal_mark import mark_fault, read_mark
from edge_agent.keeper import HeadKeeper
from edge_agent.settings import Settings
from edge_agent.state_reader import find_damage, open_snapshot, read_facts

EQUAL, ROUNDED, DIFFERS, NOT_COMPARED = "equal", "equal but for rounding", "differs", "not compared"


@dataclass(frozen=True)
class StateReport:
    """What was found in a state directory.

    Attributes:
        state: the directory.
        sound: whether nothing is wrong.
        findings: what is damaged or lost, by name.
        corrections, active: how many corrections there are, and how many of them act.
        pictures, generations: how many are kept.
        size_bytes: of the journal with its log.
        head: whether the corrections give the head in use: "equal" (bit for bit), "equal but for rounding" (another engine),
            "differs", or "not compared".
        head_difference: greatest difference of a logit; None where they were not compared.
    """

    state: str
    sound: bool
    findings: tuple[str, ...]
    corrections: int
    active: int
    pictures: int
    generations: int
    size_bytes: int
    head: str
    head_difference: float | None


def check_state(folder: Path, settings: Settings, artifact: Artifact | None) -> StateReport:
    """Read all of a state directory.

    Args:
        folder: the state directory.
        settings: the engine and the limits that the head is solved with.
        artifact: the state's own, to solve the head again; None leaves that out.

    Returns:
        What was found; damage is in the report.

    Raises:
        StateError: there is no journal, it belongs to another artifact, is of a newer version or cannot be read at all.
        StateBusyError: another process holds it for itself alone.
        RuntimeUnavailable: the engine cannot be had.
    """
    mark = read_mark(folder)  # first: see journal_mark
    connection = open_snapshot(folder, settings.wait_ms)
    if connection is None and mark is None:
        raise StateError(f"there is no state in {folder}", "name one with --state, or correct a picture first")
    findings, counts = list[str](), read_facts(None, 0)
    with suppress(StateError):  # what its own words are worth is found below
        loss = mark_fault(mark, connection, folder)
        findings += [loss.message] if loss else []
    if connection is not None:
        with closing(connection):
            findings += damage_of(connection, folder)
            with suppress(sqlite3.DatabaseError):  # it is among the findings
                counts = read_facts(connection, 0)
    difference = None if artifact is None or findings else _compared(folder, settings, artifact)
    head = NOT_COMPARED if difference is None else EQUAL if not difference else ROUNDED if difference <= TOLERANCE else DIFFERS
    if head == DIFFERS:
        findings.append(f"the head in use is not what the corrections give: a logit differs by {difference:.3g}")
    return StateReport(
        str(folder), not findings, tuple(findings), sum(counts.verdicts.values()), counts.active, counts.pictures, counts.generations,
        size_of(folder), head, difference,
    )  # fmt: skip


def damage_of(connection: sqlite3.Connection, folder: Path) -> list[str]:
    """What is damaged, by name; where SQLite itself cannot read on, that is the last finding."""
    findings = list[str]()
    try:
        with translated_errors(folder):
            for finding in find_damage(connection):
                findings.append(finding)
    except StateError as error:
        findings.append(error.message)
    return findings


def size_of(folder: Path) -> int:
    """Bytes of the journal with its log."""
    paths = (folder / FILE_NAME, folder / f"{FILE_NAME}-wal")
    return sum(path.stat().st_size for path in paths if path.exists())


def _compared(folder: Path, settings: Settings, artifact: Artifact) -> float:
    journal = Journal(folder, artifact.digest, settings, lambda: datetime.now(timezone.utc), open_snapshot)
    try:
        keeper = HeadKeeper(artifact, settings, journal)
        return fold_difference(artifact, keeper, keeper.current())
    finally:
        journal.close()
