"""The journal: corrections and generations of the head in SQLite, the only thing that the device writes.

Events are the truth: a correction is one row with what the backbone saw, and never changes but for being taken back. A generation is a
snapshot of the head that was solved from the active rows. What is acknowledged has been committed: WAL, `synchronous=FULL`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from edge_agent.errors import InputError, StateError
from edge_agent.guard import SentinelReport
from edge_agent.head import Head
from edge_agent.journal_blobs import pack_head, pack_seen, unpack_head, unpack_seen
from edge_agent.journal_file import FILE_NAME, open_for_reading, open_for_writing, translated_errors
from edge_agent.journal_queue import QueueWriter
from edge_agent.remembering import Memory
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

Opening = Callable[[Path, int], "sqlite3.Connection | None"]
Found = TypeVar("Found")

_PAUSE_S = 0.02


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


@dataclass(frozen=True, eq=False)
class Generation:
    """The newest head: its number (0 is the factory's), and the head, or None where it must be solved from the records."""

    number: int
    head: Head | None


class Journal:
    """One state directory; safe to share between threads, and with other processes."""

    def __init__(
        self, folder: Path, artifact_digest: str, settings: Settings, now: Callable[[], datetime], opening: Opening = open_for_reading
    ) -> None:
        """Name the state; nothing is opened or created yet.

        Args:
            folder: the state directory; it is created by the first write.
            artifact_digest: the state belongs to this artifact alone.
            settings: waits and limits.
            now: the clock; it is recorded and decides nothing.
            opening: how the file is opened for reading.
        """
        self._opening = opening
        self.folder, self._digest, self._settings, self._now = folder, artifact_digest, settings, now
        self._connection: sqlite3.Connection | None = None
        self._writable = False
        self._openings = 0
        self.lock = threading.RLock()  # the keeper takes it too: with one lock there is no wrong order

    def close(self) -> None:
        """Close the file; the journal opens it again when it is used again."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._writable, self._openings = None, False, self._openings + 1

    def stamp(self) -> tuple[int, int] | None:
        """Changes when another process has committed; None where there is no state yet. SQLite counts for one connection alone."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            return None if connection is None else (self._openings, int(connection.execute("PRAGMA data_version").fetchone()[0]))

    def generation(self) -> Generation:
        """The newest generation; a damaged one is reported as one without a head.

        Raises:
            StateError: the state belongs to another artifact, or is damaged.
        """
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            query = "SELECT number, head, sha256 FROM generations ORDER BY number DESC LIMIT 1"
            row = connection.execute(query).fetchone() if connection else None
            if connection is None or row is None:
                return Generation(0, None)
            sound = hashlib.sha256(row[1]).hexdigest() == row[2]
            return Generation(row[0], unpack_head(connection, row[1]) if sound else None)

    def added_labels(self) -> tuple[str, ...]:
        """The labels added on the device, in the order of their columns."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            rows = connection.execute("SELECT name FROM labels ORDER BY place").fetchall() if connection else []
            return tuple(name for (name,) in rows)

    def records(self) -> list[Record]:
        """The active corrections in the order in which they were made.

        Raises:
            StateError: what the backbone saw for one of them is damaged; it names the correction.
        """
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            query = "SELECT id, label, seen, seen_sha256 FROM corrections WHERE active ORDER BY id"
            rows = connection.execute(query).fetchall() if connection else []
            return [Record(number, label, unpack_seen(number, blob, sha256)) for number, label, blob, sha256 in rows]

    def history(self) -> list[Entry]:
        """Every correction, the first one first."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            query = f"SELECT {', '.join(_ENTRY_COLUMNS)} FROM corrections ORDER BY id"
            return [_entry(row) for row in connection.execute(query)] if connection else []

    def picture(self, number: int) -> bytes | None:
        """The picture kept with a correction, or None where none was kept or it is damaged."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            query = "SELECT picture, sha256 FROM pictures WHERE correction=?"
            row = connection.execute(query, (number,)).fetchone() if connection else None
            return row[0] if row and hashlib.sha256(row[0]).hexdigest() == row[1] else None

    def read(self, reader: Callable[[sqlite3.Connection | None], Found]) -> Found:
        """What a function reads; it gets the open journal, or None where there is none yet.

        Raises:
            StateError: the state cannot be read.
        """
        with self.lock, translated_errors(self.folder):
            return reader(self._reading())

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """One transaction: what its writer did is on the disk when the block ends, and none of it when the block fails.

        Raises:
            StateError: the state cannot be written, or belongs to another artifact.
            StateBusyError: another process holds it for longer than `wait_ms`.
        """
        with self.lock, translated_errors(self.folder):
            connection = self._begin()
            try:
                connection.execute("INSERT OR IGNORE INTO facts VALUES ('artifact', ?)", (self._digest,))
                yield Writer(connection, self._settings, self._now().isoformat(timespec="milliseconds"))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _reading(self) -> sqlite3.Connection | None:
        if self._connection is None:
            self._connection = self._opening(self.folder, self._settings.wait_ms)
            if self._connection is not None:
                self._check_owner(self._connection)
        return self._connection

    def _begin(self) -> sqlite3.Connection:
        """Begin a write, again if need be.

        SQLite shares its index among the connections of a process: while a monitor in this one looks at the state with the index
        read-only, a writer that is opened cannot write. The look is short.
        """
        deadline = time.monotonic() + self._settings.wait_ms / 1000
        while True:
            connection = self._for_writing()
            try:
                connection.execute("BEGIN IMMEDIATE")
                return connection
            except sqlite3.OperationalError as error:
                is_ours = "readonly" in str(error) and os.access(self.folder, os.W_OK) and os.access(self.folder / FILE_NAME, os.W_OK)
                if not is_ours or time.monotonic() > deadline:
                    raise
            self.close()
            time.sleep(_PAUSE_S)

    def _for_writing(self) -> sqlite3.Connection:
        if self._connection is None or not self._writable:
            if self._reading() is not None:  # a foreign state is refused before anything is written
                self.close()
            self._connection = open_for_writing(self.folder, self._settings.wait_ms)
            self._writable = True
            self._check_owner(self._connection)
        return self._connection

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT value FROM facts WHERE name='artifact'").fetchone()
        if row is not None and row[0] != self._digest:
            self.close()
            found = f"it belongs to artifact {row[0][:12]}…, this one is {self._digest[:12]}…"
            raise StateError(f"the state {self.folder} is of another artifact: {found}", "give each artifact a --state of its own")


class Writer:
    """The writes of one transaction; made by `Journal.writing` alone."""

    def __init__(self, connection: sqlite3.Connection, settings: Settings, moment: str) -> None:
        """Bind the open transaction, the limits and the time that it records."""
        self._connection, self._settings, self.moment = connection, settings, moment
        self.queue = QueueWriter(connection, moment)

    def next_generation(self) -> int:
        """The number that `add_generation` will give."""
        return self._next("generations")

    def next_correction(self) -> int:
        """The number that `add_correction` will give."""
        return self._next("corrections")

    def add_correction(self, entry: Entry, seen: Seen, picture: bytes | None) -> None:
        """Write one correction; its `id` must be `next_correction()`. A picture of the queue that is corrected waits no longer."""
        blob = pack_seen(seen)
        values = {**asdict(entry), "sentinel": json.dumps(asdict(entry.sentinel), sort_keys=True)}
        values |= {"seen": blob, "seen_sha256": hashlib.sha256(blob).hexdigest()}
        columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        self._connection.execute(f"INSERT INTO corrections ({columns}) VALUES ({places})", values)
        self.queue.remove([entry.sample_id])
        if picture is not None and self._settings.keep_pictures:
            row = (entry.id, picture, hashlib.sha256(picture).hexdigest())
            self._connection.execute("INSERT INTO pictures VALUES (?, ?, ?)", row)
            self._drop_pictures()

    def add_generation(self, cause: str, head: Head, memories: Sequence[Memory]) -> int:
        """Write a snapshot of the head; `memories` are what its rows stand for, in its order. Returns its number."""
        blob = pack_head(head, memories)
        row = (self.moment, cause, blob, hashlib.sha256(blob).hexdigest())
        statement = "INSERT INTO generations (made_at, cause, head, sha256) VALUES (?, ?, ?, ?)"
        number = self._connection.execute(statement, row).lastrowid or 0
        self._connection.execute("DELETE FROM generations WHERE number <= ?", (number - self._settings.kept_generations,))
        return number

    def undo(self, numbers: Sequence[int]) -> None:
        """Take corrections back: they stay in the history, and leave the active set.

        Raises:
            InputError: one of them is not active: another process was first.
        """
        rows = [(self.moment, number) for number in numbers]
        if self._connection.executemany("UPDATE corrections SET active=0, undone_at=? WHERE id=? AND active", rows).rowcount != len(rows):
            raise InputError("another process took a correction back at the same moment", "see edge-agent history, and try again")

    def add_label(self, name: str) -> None:
        """Add a class behind the ones that are there."""
        self._connection.execute("INSERT INTO labels (place, name) VALUES ((SELECT count(*) FROM labels), ?)", (name,))

    def remove_label(self, name: str) -> None:
        """Remove a class; those behind it move up."""
        place = self._connection.execute("SELECT place FROM labels WHERE name=?", (name,)).fetchone()[0]
        self._connection.execute("DELETE FROM labels WHERE place=?", (place,))
        self._connection.execute("UPDATE labels SET place = place - 1 WHERE place > ?", (place,))

    def _next(self, table: str) -> int:
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name=?", (table,)).fetchone()
        return (row[0] if row else 0) + 1

    def _drop_pictures(self) -> None:
        """Keep the newest pictures within the limits of count and bytes."""
        sizes = self._connection.execute("SELECT correction, length(picture) FROM pictures ORDER BY correction DESC").fetchall()
        total = 0
        for place, (number, size) in enumerate(sizes):
            total += size
            if place >= self._settings.kept_pictures or total > self._settings.kept_pictures_bytes:
                self._connection.execute("DELETE FROM pictures WHERE correction <= ?", (number,))
                return


_ENTRY_COLUMNS = tuple(Entry.__dataclass_fields__)


def _entry(row: Sequence[object]) -> Entry:
    values = dict(zip(_ENTRY_COLUMNS, row, strict=True))
    values["sentinel"] = SentinelReport(**json.loads(str(values["sentinel"])))
    values["forced"], values["active"] = bool(values["forced"]), bool(values["active"])
    return Entry(**values)  # type: ignore[arg-type]
