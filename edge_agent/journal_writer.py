"""What one transaction of the journal writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict

from edge_agent.errors import InputError
from edge_agent.head import Head
from edge_agent.journal_blobs import pack_head, pack_seen
from edge_agent.journal_digests import PENDING_COLUMNS, of_bytes, seal_rows, unsealed_rows
from edge_agent.journal_facts import COMMITS, IDENTITY, read_fact, write_fact
from edge_agent.journal_queue import QueueWriter
from edge_agent.journal_requests import record_request
from edge_agent.journal_rows import Entry, Pending, read_labels
from edge_agent.remembering import Memory
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

WAS_DAMAGED = "its row was damaged, and it was taken back: what it says may be wrong"
TABLES = ("facts", "labels", "corrections", "pictures", "generations", "waiting", "answers", "requests", "pending")
UNUSED_EVERY = 64  # refused corrections between two looks for what no longer acts


class Writer:
    """The writes of one transaction; made by `Journal.writing` alone."""

    def __init__(self, connection: sqlite3.Connection, settings: Settings, moment: str) -> None:
        """Bind the open transaction, the limits and the time that it records."""
        self._connection, self._settings, self.moment = connection, settings, moment
        self.queue = QueueWriter(connection, moment)
        self._touched = list[int]()

    def next_generation(self) -> int:
        """The number that `add_generation` will give."""
        return self._next("generations")

    def next_correction(self) -> int:
        """The number that `add_correction` will give."""
        return self._next("corrections")

    def add_correction(self, entry: Entry, seen: Seen, picture: bytes | None) -> None:
        """Write one correction; its `id` must be `next_correction()`. A picture of the queue that is corrected waits no longer."""
        blob = pack_seen(seen)
        kept = picture if self._settings.keep_pictures else None
        values = {**asdict(entry), "sentinel": json.dumps(asdict(entry.sentinel), sort_keys=True)}
        values |= {"seen": blob, "seen_sha256": of_bytes(blob), "picture_sha256": None if kept is None else of_bytes(kept)}
        columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        self._connection.execute(f"INSERT INTO corrections ({columns}) VALUES ({places})", values)
        seal_rows(self._connection, "corrections", "id=?", (entry.id,))
        self._touched.append(entry.id)
        self.queue.remove([entry.sample_id])
        same = "sample_id=:sample_id OR (image=:image AND label=:label)"
        self._connection.execute(f"DELETE FROM pending WHERE {same}", values)
        if not entry.active and entry.id % UNUSED_EVERY == 0:
            drop_unused(self._connection, self._settings)
        if kept is not None:
            self._connection.execute("INSERT INTO pictures VALUES (?, ?, ?)", (entry.id, kept, values["picture_sha256"]))
            drop_pictures(self._connection, self._settings)

    def add_generation(self, cause: str, head: Head, memories: Sequence[Memory]) -> int:
        """Write a snapshot of the head; `memories` are what its rows stand for, in its order. Returns its number."""
        blob = pack_head(head, memories)
        labels = json.dumps([name for (name,) in self._connection.execute("SELECT name FROM labels ORDER BY place")])
        row = (self.moment, cause, blob, of_bytes(blob), labels)
        statement = "INSERT INTO generations (made_at, cause, head, sha256, labels) VALUES (?, ?, ?, ?, ?)"
        number = self._connection.execute(statement, row).lastrowid or 0
        seal_rows(self._connection, "generations", "number=?", (number,))
        self._connection.execute("DELETE FROM generations WHERE number <= ?", (number - self._settings.kept_generations,))
        return number

    def undo(self, numbers: Sequence[int]) -> None:
        """Take corrections back: they stay in the history, and leave the active set.

        Raises:
            InputError: one of them is not active: another process was first.
        """
        damaged = set(unsealed_rows(self._connection, "corrections")).intersection(numbers)
        rows = [(self.moment, number) for number in numbers]
        if self._connection.executemany("UPDATE corrections SET active=0, undone_at=? WHERE id=? AND active", rows).rowcount != len(rows):
            raise InputError("another process took a correction back at the same moment", "see edge-agent history, and try again")
        for number in numbers:
            if number in damaged:  # a new digest must not make its words true
                self._connection.execute("UPDATE corrections SET reason=? WHERE id=?", (WAS_DAMAGED, number))
            seal_rows(self._connection, "corrections", "id=?", (number,))
        drop_unused(self._connection, self._settings)
        self._touched += numbers

    def record_request(self, name: str) -> None:
        """Write down that a request was carried out: the corrections that this transaction has made or taken back.

        Raises:
            RepeatedError: it was carried out before.
        """
        record_request(self._connection, name, self.moment, self._touched)

    def add_label(self, name: str) -> None:
        """Add a class behind the ones that are there.

        Raises:
            StateError: the ones that are there are damaged.
        """
        read_labels(self._connection)
        self._connection.execute("INSERT INTO labels (place, name) VALUES ((SELECT count(*) FROM labels), ?)", (name,))
        seal_rows(self._connection, "labels", "name=?", (name,))

    def remove_label(self, name: str) -> None:
        """Remove a class; those behind it move up.

        Raises:
            StateError: one of them is damaged.
        """
        read_labels(self._connection)
        place = self._connection.execute("SELECT place FROM labels WHERE name=?", (name,)).fetchone()[0]
        self._connection.execute("DELETE FROM labels WHERE place=?", (place,))
        self._connection.execute("UPDATE labels SET place = place - 1 WHERE place > ?", (place,))
        seal_rows(self._connection, "labels", "place >= ?", (place,))

    def add_pending(self, pending: Pending) -> None:
        """Note a correction of another state that could not be applied to this one; a number that is taken makes way for a free one."""
        taken = self._connection.execute("SELECT 1 FROM pending WHERE correction=?", (pending.correction,)).fetchone()
        greatest = self._connection.execute("SELECT coalesce(max(correction), 0) FROM pending").fetchone()[0]
        number = greatest + 1 if taken else pending.correction
        row = (number, pending.made_at, pending.image, pending.sample_id, pending.label, pending.reason)
        self._connection.execute(f"INSERT INTO pending ({', '.join(PENDING_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)", row)
        seal_rows(self._connection, "pending", "correction=?", (number,))

    def carry_request(self, name: str, corrections: Sequence[int]) -> None:
        """Write down a request that was carried out in another state, with the numbers that its corrections have in this one."""
        record_request(self._connection, name, self.moment, corrections)

    def drop(self) -> None:
        """Drop what the limits do not allow: they may be tighter than when it was written."""
        drop_pictures(self._connection, self._settings)
        drop_unused(self._connection, self._settings)
        self._connection.execute("DELETE FROM generations WHERE number < ?", (self.next_generation() - self._settings.kept_generations,))

    def replace_all(self, source: sqlite3.Connection) -> None:
        """Put what another journal of the same schema holds in the place of all that this one holds, but for whose history it is.

        Args:
            source: sound; whose it is comes from it, this state's identity and number of commits stay.
        """
        replace_rows(self._connection, source)

    def _next(self, table: str) -> int:
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name=?", (table,)).fetchone()
        return (row[0] if row else 0) + 1


def drop_pictures(connection: sqlite3.Connection, settings: Settings) -> None:
    """Keep the newest pictures within the limits of count and bytes."""
    sizes = connection.execute("SELECT correction, length(picture) FROM pictures ORDER BY correction DESC").fetchall()
    total = 0
    for place, (number, size) in enumerate(sizes):
        total += size
        if place >= settings.kept_pictures or total > settings.kept_pictures_bytes:
            connection.execute("DELETE FROM pictures WHERE correction <= ?", (number,))
            return


def drop_unused(connection: sqlite3.Connection, settings: Settings) -> None:
    """Drop what was seen of corrections that no longer act, but for the newest; their rows, which are the history, stay."""
    query = "SELECT id FROM corrections WHERE NOT active ORDER BY id DESC LIMIT 1 OFFSET ?"
    oldest = connection.execute(query, (settings.kept_unused,)).fetchone()
    if oldest is not None:
        connection.execute("UPDATE corrections SET seen=x'' WHERE NOT active AND id <= ? AND length(seen)", oldest)


def replace_rows(connection: sqlite3.Connection, source: sqlite3.Connection) -> None:
    """Copy every row of every table of a journal over those of another one, in its open transaction."""
    own = [(name, read_fact(connection, name)) for name in (IDENTITY, COMMITS)]
    for table in (*reversed(TABLES), "sqlite_sequence"):
        connection.execute(f"DELETE FROM {table}")
    for table in (*TABLES, "sqlite_sequence"):
        names = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
        if table == "sqlite_sequence":
            connection.execute("DELETE FROM sqlite_sequence")  # inserting has put numbers there
        rows = source.execute(f"SELECT {', '.join(names)} FROM {table}")
        connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows)
    for name, value in own:
        if value is not None:
            write_fact(connection, name, value)
