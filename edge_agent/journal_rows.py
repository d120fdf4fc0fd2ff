"""What the journal's rows say: corrections, what was seen of them, and heads; and how a row becomes one of ours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import StateError
from edge_agent.guard import SentinelReport
from edge_agent.head import Head
from edge_agent.journal_blobs import unpack_head, unpack_seen
from edge_agent.journal_digests import CORRECTION_COLUMNS, GENERATION_COLUMNS, LABEL_COLUMNS, PENDING_COLUMNS, of_bytes, of_values
from edge_agent.journal_file import SAVE_HINT
from edge_agent.runtime import Seen


@dataclass(frozen=True)
class Entry:
    """One correction as the journal shows it.

    Attributes:
        id: its number; later ones are greater, whatever the clock said.
        made_at: time of the device's clock, ISO 8601 in UTC.
        image: name of the picture as it was given, or None.
        sample_id: names the pixels that the network saw.
        label: what the person said.
        verdict: "accepted", "already_correct" or "refused".
        reason: in words.
        forced: whether `--force` was given.
        was_label, was_probability: the prediction before.
        now_label, now_probability: the prediction with the candidate head.
        steps: gradient steps taken.
        sentinel: what the guard measured.
        generation: the head's number after it.
        active: whether it is in the set that the head is solved from.
        undone_at: when it was taken back, or None.
    """

    id: int
    made_at: str
    image: str | None
    sample_id: str
    label: str
    verdict: str
    reason: str
    forced: bool
    was_label: str
    was_probability: float
    now_label: str
    now_probability: float
    steps: int
    sentinel: SentinelReport
    generation: int
    active: bool
    undone_at: str | None


@dataclass(frozen=True, eq=False)
class Record:
    """An active correction with what the backbone saw: `label` by name, `seen` with one row and one for each view."""

    id: int
    label: str
    seen: Seen


@dataclass(frozen=True)
class Pending:
    """A correction of another artifact's state that could not be taught again: see `Entry` for its first fields; why, in words.

    `correction` was its number there. It is pending no longer once its picture is taught.
    """

    correction: int
    made_at: str
    image: str | None
    sample_id: str
    label: str
    reason: str


@dataclass(frozen=True, eq=False)
class Generation:
    """A snapshot of the head.

    Attributes:
        number: 0 is the factory's.
        head: None where it is damaged, and must be solved from the records.
        labels: those added on the device, in the order of the head's columns.
    """

    number: int
    head: Head | None
    labels: tuple[str, ...]


ENTRY_COLUMNS = tuple(Entry.__dataclass_fields__)


def damaged_row(number: int) -> StateError:
    """The error for a correction whose row is not what was written."""
    return StateError(f"correction {number} is damaged: its row does not fit its digest", f"take it back with: edge-agent undo {number}")


def read_entries(connection: sqlite3.Connection) -> list[Entry]:
    """Every correction, the first one first.

    Raises:
        StateError: one is damaged or gone; it names the correction.
    """
    rows = correction_rows(connection)
    for fault in row_faults(connection, rows):
        raise fault
    return [_entry(row[: len(ENTRY_COLUMNS)]) for row in rows]


def read_standing(connection: sqlite3.Connection) -> dict[int, str]:
    """Whether each correction is "active", "undone" or "refused", damaged ones too: what is taken back need not be sound."""
    rows = connection.execute("SELECT id, active, undone_at IS NOT NULL FROM corrections ORDER BY id")
    return {number: "active" if active else "undone" if undone else "refused" for number, active, undone in rows}


def correction_rows(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Every row of the corrections but for what was seen: `CORRECTION_COLUMNS` and their digest."""
    return connection.execute(f"SELECT {', '.join(CORRECTION_COLUMNS)}, row_sha256 FROM corrections ORDER BY id").fetchall()


def read_records(connection: sqlite3.Connection) -> tuple[list[Record], list[StateError]]:
    """The active corrections that are sound, in the order in which they were made, and what is wrong with the others."""
    rows = correction_rows(connection)
    faults = row_faults(connection, rows)
    active, label, sha256 = (CORRECTION_COLUMNS.index(name) for name in ("active", "label", "seen_sha256"))
    records = []
    for row in rows:
        if row[active] and of_values(row[:-1]) == row[-1]:
            try:
                found = connection.execute("SELECT seen FROM corrections WHERE id=?", row[:1]).fetchone()
                blob = found[0] if found else b""  # a damaged page is not found by every way
                records.append(Record(row[0], row[label], unpack_seen(row[0], blob, row[sha256])))
            except StateError as fault:
                faults.append(fault)
    return records, faults


def row_faults(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> list[StateError]:
    """What is wrong with the rows of all corrections: numbers that are gone, rows that do not fit their digest, which comes last."""
    newest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name='corrections'").fetchone()
    numbers, expected = [row[0] for row in rows], list(range(1, (newest[0] if newest else 0) + 1))
    faults = [damaged_row(row[0]) for row in rows if of_values(tuple(row[:-1])) != row[-1]]
    if numbers != expected:
        gone = sorted(set(expected).symmetric_difference(numbers))
        shown = ", ".join(map(str, gone[:8])) + (", …" if len(gone) > 8 else "") or "some are there twice"
        faults.append(StateError(f"corrections are gone from the state, or in a wrong place: {shown}", SAVE_HINT))
    return faults


def read_generations(connection: sqlite3.Connection) -> Iterator[Generation]:
    """The snapshots that are kept, the newest first; one that is gone, or whose corrections are damaged, has no head."""
    for number, labels, blob in _generation_rows(connection):
        yield Generation(number, None if blob is None else unpack_head(connection, blob), labels)


def damaged_generations(connection: sqlite3.Connection) -> list[int]:
    """The numbers of snapshots that are not what was written, or gone."""
    return sorted(number for number, _, blob in _generation_rows(connection) if blob is None)


def _generation_rows(connection: sqlite3.Connection) -> Iterator[tuple[int, tuple[str, ...], bytes | None]]:
    """Number, added labels and bytes of each snapshot, the newest first; None for bytes that are not what was written."""
    newest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name='generations'").fetchone()
    expected: int = newest[0] if newest else 0
    query = f"SELECT {', '.join(GENERATION_COLUMNS)}, row_sha256, head FROM generations ORDER BY number DESC"
    for *values, sealed, blob in connection.execute(query):
        number = values[0]
        if number != expected:
            yield max(number, expected), (), None
        expected = number - 1
        is_sound = of_values(tuple(values)) == sealed and of_bytes(blob) == values[-1]
        yield number, tuple(json.loads(values[3])) if is_sound else (), blob if is_sound else None
    if newest and expected == newest[0]:  # not one is left
        yield expected, (), None


def read_labels(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The labels added on the device, in the order of their columns.

    Raises:
        StateError: one is damaged or gone.
    """
    rows = connection.execute(f"SELECT {', '.join(LABEL_COLUMNS)}, row_sha256 FROM labels ORDER BY place").fetchall()
    if [row[0] for row in rows] != list(range(len(rows))) or any(of_values(row[:-1]) != row[-1] for row in rows):
        raise StateError("the labels that were added on the device are damaged", SAVE_HINT)
    return tuple(row[1] for row in rows)


def read_pending(connection: sqlite3.Connection | None) -> list[Pending]:
    """The corrections that came from another artifact and wait for their pictures.

    Raises:
        StateError: one is damaged.
    """
    query = f"SELECT {', '.join(PENDING_COLUMNS)}, row_sha256 FROM pending ORDER BY correction"
    rows = connection.execute(query).fetchall() if connection else []
    for row in rows:
        if of_values(row[:-1]) != row[-1]:
            raise StateError(f"the pending correction {row[0]} is damaged", SAVE_HINT)
    return [Pending(*row[:-1]) for row in rows]


def _entry(row: Sequence[object]) -> Entry:
    values = dict(zip(ENTRY_COLUMNS, row, strict=True))
    values["sentinel"] = SentinelReport(**json.loads(str(values["sentinel"])))
    values["forced"], values["active"] = bool(values["forced"]), bool(values["active"])
    return Entry(**values)  # type: ignore[arg-type]
