"""The waiting queue's rows in the journal: what waits, and what became of what was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import AnsweredError, NotWaitingError, StateError
from edge_agent.journal_blobs import pack_seen, unpack
from edge_agent.journal_digests import WAITING_COLUMNS, of_bytes, of_values, seal_rows
from edge_agent.runtime import Seen

ANSWERS_KEPT = 2000  # the newest: half a megabyte; a labelled picture is known by its correction for ever


@dataclass(frozen=True, eq=False)
class WaitingRow:
    """One picture that waits, without the picture itself.

    Attributes:
        place: later ones are greater.
        sample_id: names the pixels that the network saw.
        made_at: when it was offered, ISO 8601 in UTC.
        image: its name as it was given, or None.
        picture_bytes: size of its file.
        seen: one row, what the backbone saw.
    """

    place: int
    sample_id: str
    made_at: str
    image: str | None
    picture_bytes: int
    seen: Seen


def waiting_places(connection: sqlite3.Connection | None) -> dict[int, str]:
    """The sample ids that wait, by their place, the first one first."""
    return dict(connection.execute("SELECT place, sample_id FROM waiting ORDER BY place").fetchall()) if connection else {}


def waiting_rows(connection: sqlite3.Connection | None, places: Iterable[int]) -> list[WaitingRow]:
    """These rows; a damaged one is left out, and `edge-agent health` names it."""
    found = []
    query = f"SELECT {', '.join(WAITING_COLUMNS)}, row_sha256, length(picture), seen FROM waiting WHERE place=?"
    for place in places if connection else ():
        row = connection.execute(query, (place,)).fetchone() if connection else None
        if row is None:
            continue
        *values, sealed, size, seen = row
        if of_values(tuple(values)) == sealed and of_bytes(seen) == values[4]:
            found.append(WaitingRow(place, values[1], values[2], values[3], size, unpack(seen)))
    return found


def waiting_picture(connection: sqlite3.Connection | None, sample_id: str) -> bytes:
    """The file of a picture that waits.

    Raises:
        NotWaitingError: no such sample waits.
        AnsweredError: it was answered before.
        StateError: it is damaged; skip it.
    """
    query = "SELECT picture, sha256 FROM waiting WHERE sample_id=?"
    row = connection.execute(query, (sample_id,)).fetchone() if connection and _is_a_name(sample_id) else None
    if row is None:
        return not_waiting(connection, sample_id)
    if of_bytes(row[0]) != row[1]:
        raise StateError(f"the waiting picture {sample_id} is damaged", f"edge-agent queue skip {sample_id}")
    return bytes(row[0])


def _is_a_name(sample_id: object) -> bool:
    """Whether the database can be asked for it: callers may give anything, and half of a character pair cannot be stored."""
    return isinstance(sample_id, str) and sample_id.isascii()


def waiting_pictures(connection: sqlite3.Connection | None) -> list[tuple[str | None, bytes]]:
    """Name and file of each picture that waits and is sound, the first one first."""
    rows = connection.execute("SELECT image, picture, sha256 FROM waiting ORDER BY place").fetchall() if connection else []
    return [(image, picture) for image, picture, sha256 in rows if of_bytes(picture) == sha256]


def not_waiting(connection: sqlite3.Connection | None, sample_id: str) -> NoReturn:
    """Say why a sample does not wait.

    Raises:
        AnsweredError: somebody has said what it is, or that it cannot be said.
        NotWaitingError: it is not known.
    """
    shown = str(sample_id)[:64]
    said = answer_of(connection, sample_id) if _is_a_name(sample_id) else None
    if said is not None:
        raise AnsweredError(f"sample {shown!r} was answered before: {said}", "see edge-agent history, or correct the picture itself")
    raise NotWaitingError(f"sample {shown!r} is not in the queue", "see edge-agent queue list")


@dataclass(frozen=True)
class Answer:
    """What was said of a picture that waited: "labelled" with a label, "skipped" or "unsure"; `at` is ISO 8601 in UTC."""

    sample_id: str
    at: str
    answer: str
    label: str | None


def read_answers(connection: sqlite3.Connection | None) -> list[Answer]:
    """The newest answers that are kept, the first one first."""
    rows = connection.execute("SELECT sample_id, made_at, answer, label FROM answers ORDER BY place").fetchall() if connection else []
    return [Answer(*row) for row in rows]


def is_known(connection: sqlite3.Connection | None, sample_id: str) -> bool:
    """Whether a sample waits already, or was answered."""
    waits = connection and connection.execute("SELECT 1 FROM waiting WHERE sample_id=?", (sample_id,)).fetchone()
    return bool(waits) or answer_of(connection, sample_id) is not None


def answer_of(connection: sqlite3.Connection | None, sample_id: str) -> str | None:
    """What was said about a sample, in words, or None where nothing was."""
    if connection is None:
        return None
    row = connection.execute("SELECT label FROM corrections WHERE sample_id=? ORDER BY id DESC LIMIT 1", (sample_id,)).fetchone()
    row = row or connection.execute("SELECT coalesce(label, answer) FROM answers WHERE sample_id=?", (sample_id,)).fetchone()
    return None if row is None else str(row[0])


def answered_contexts(connection: sqlite3.Connection | None, directions: int) -> NDArray[np.float32]:
    """`[N, directions]`: contexts of the pictures that were answered; one like them is not asked about again."""
    rows = connection.execute("SELECT context FROM answers WHERE length(context)=?", (2 * directions,)).fetchall() if connection else []
    return np.frombuffer(b"".join(row[0] for row in rows), np.float16).reshape(-1, directions).astype(np.float32)


class QueueWriter:
    """The queue's writes in one transaction; made by `Journal.writing` alone."""

    def __init__(self, connection: sqlite3.Connection, moment: str) -> None:
        """Bind the open transaction and the time that it records."""
        self._connection, self._moment = connection, moment

    def add(self, sample_id: str, image: str | None, seen: Seen, picture: bytes) -> bool:
        """Let a picture wait; False where it waits already, or was answered."""
        if answer_of(self._connection, sample_id) is not None:
            return False
        blob = pack_seen(seen)
        row = (sample_id, self._moment, image, blob, of_bytes(blob), picture, of_bytes(picture))
        statement = (
            "INSERT OR IGNORE INTO waiting (sample_id, made_at, image, seen, seen_sha256, picture, sha256) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        is_new = self._connection.execute(statement, row).rowcount > 0
        if is_new:
            seal_rows(self._connection, "waiting", "sample_id=?", (sample_id,))
        return is_new

    def answer(self, sample_id: str, answer: str, label: str | None, context: NDArray[np.float32]) -> None:
        """Take a picture out of the queue because somebody has said what it is, or that it cannot be said.

        Args:
            sample_id: of a picture that waits.
            answer: "labelled", "skipped" or "unsure".
            label: what was said, if it was a label.
            context: `[K]`, so that others like it are not asked about.

        Raises:
            NotWaitingError: no such sample waits.
            AnsweredError: somebody was first.
        """
        if not self.remove([sample_id]):
            not_waiting(self._connection, sample_id)
        row = (sample_id, self._moment, answer, label, context.astype(np.float16).tobytes())
        statement = "INSERT OR REPLACE INTO answers (sample_id, made_at, answer, label, context) VALUES (?, ?, ?, ?, ?)"
        newest = self._connection.execute(statement, row).lastrowid or 0
        seal_rows(self._connection, "answers", "place=?", (newest,))
        self._connection.execute("DELETE FROM answers WHERE place <= ?", (newest - ANSWERS_KEPT,))

    def carry(self, answer: Answer) -> None:
        """Write down an answer of another network's state: the same picture is not asked about again, though others like it may be."""
        statement = "INSERT OR IGNORE INTO answers (sample_id, made_at, answer, label, context) VALUES (?, ?, ?, ?, x'')"
        self._connection.execute(statement, (answer.sample_id, answer.at, answer.answer, answer.label))
        seal_rows(self._connection, "answers", "sample_id=?", (answer.sample_id,))

    def remove(self, sample_ids: Collection[str]) -> int:
        """Take pictures out of the queue; returns how many of them waited."""
        return sum(self._connection.execute("DELETE FROM waiting WHERE sample_id=?", (name,)).rowcount for name in sample_ids)

    def clear(self) -> int:
        """Empty the queue; returns how many waited."""
        return self._connection.execute("DELETE FROM waiting").rowcount
