"""The journal: corrections and generations of the head in SQLite, the only thing that the device writes.

Events are the truth: a correction is one row with what the backbone saw, and never changes but for being taken back. A generation is a
snapshot of the head that was solved from the active rows. What is acknowledged has been committed: WAL, `synchronous=FULL`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from edge_agent.errors import StateBusyError, StateError
from edge_agent.journal_digests import of_bytes
from edge_agent.journal_facts import check_owner, count_commit
from edge_agent.journal_file import FILE_NAME, begin_writing, open_for_writing, translated_errors
from edge_agent.journal_mark import mark_fault, read_mark, write_mark
from edge_agent.journal_opening import files_of, inode_of, open_as
from edge_agent.journal_rows import Entry, Generation, Record, read_entries, read_generations, read_labels, read_records, read_standing
from edge_agent.journal_writer import Writer
from edge_agent.settings import Settings

__all__ = ["Entry", "Generation", "Journal", "Record", "Writer"]

Opening = Callable[[Path, int], "sqlite3.Connection | None"]
Found = TypeVar("Found")

_PAUSE_S = 0.02


class Journal:
    """One state directory; safe to share between threads, and with other processes."""

    def __init__(
        self, folder: Path, artifact_digest: str, settings: Settings, now: Callable[[], datetime], opening: Opening = open_as
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
        self._openings, self._version = 0, -1
        self._since: float | None = None  # when a thread of ours took its turn
        self._request: str | None = None
        self.after_next_commit: Callable[[], object] | None = None  # for what belongs into a state, once there is one
        self._files, self._inode = files_of(folder), inode_of(folder)
        self._loss: StateError | None = None  # what the mark says against the journal
        self.lock = threading.RLock()  # the keeper takes it too: with one lock there is no wrong order

    def close(self) -> None:
        """Close the file; the journal opens it again when it is used again."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._writable, self._openings = None, False, self._openings + 1

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the state against the other threads of this process; it may be taken again inside.

        Raises:
            StateBusyError: another thread holds it for longer than `wait_ms`.
        """
        if not self.lock.acquire(timeout=self._settings.wait_ms / 1000):
            holder = f"this process ({os.getpid()}), in another thread, for {time.monotonic() - (self._since or time.monotonic()):.1f} s"
            raise StateBusyError(f"the state {self.folder} is in use by {holder}", "try again, or raise wait_ms")
        outer, self._since = self._since, self._since or time.monotonic()
        try:
            yield
        finally:
            self._since = outer
            self.lock.release()

    @property
    def is_writing(self) -> bool:
        """Whether a transaction that writes is open."""
        return self._connection is not None and self._writable and self._connection.in_transaction

    def stamp(self) -> tuple[int, int] | None:
        """Changes when another process has committed; None where there is no state yet. SQLite counts for one connection alone."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            return None if connection is None else (self._openings, self._version)

    def generation(self) -> Generation:
        """The newest generation; a damaged one is reported as one without a head.

        Raises:
            StateError: the state belongs to another artifact, or is damaged.
        """
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            found = next(read_generations(connection), None) if connection else None
            if connection is not None:
                check_owner(connection, self._digest, self.folder)  # last: what was read is then ours
            return found or Generation(0, None, ())

    def sound_generation(self) -> Generation | None:
        """The newest generation that is not damaged, or None."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            return next((found for found in read_generations(connection) if found.head), None) if connection else None

    def added_labels(self) -> tuple[str, ...]:
        """The labels added on the device, in the order of their columns.

        Raises:
            StateError: one of them is damaged.
        """
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            return read_labels(connection) if connection else ()

    def records(self) -> list[Record]:
        """The active corrections in the order in which they were made.

        Raises:
            StateError: one of them is damaged, or gone; it names the correction.
        """
        records, faults = self.sound_records()
        for fault in faults:
            raise fault
        return records

    def sound_records(self) -> tuple[list[Record], list[StateError]]:
        """The active corrections that are not damaged, and for each that is what is wrong with it."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            records, faults = read_records(connection) if connection else ([], [])
            return records, faults + ([self._loss] if self._loss else [])

    def history(self) -> list[Entry]:
        """Every correction, the first one first.

        Raises:
            StateError: one of them is damaged, or gone; it names the correction.
        """
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            return read_entries(connection) if connection else []

    def standing(self) -> dict[int, str]:
        """Whether each correction is "active", "undone" or "refused", in their order; also of those that are damaged."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            return read_standing(connection) if connection else {}

    def picture(self, number: int) -> bytes | None:
        """The picture kept with a correction, or None where none was kept or it is damaged."""
        with self.lock, translated_errors(self.folder):
            connection = self._reading()
            query = "SELECT picture, picture_sha256 FROM pictures JOIN corrections ON id = correction WHERE correction=?"
            row = connection.execute(query, (number,)).fetchone() if connection else None
            return row[0] if row and of_bytes(row[0]) == row[1] else None

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
        with self.turn(), translated_errors(self.folder):
            connection = self._begin()
            try:
                check_owner(connection, self._digest, self.folder)
                identity, number = count_commit(connection, self._digest)
                writer = Writer(connection, self._settings, self._now().isoformat(timespec="milliseconds"))
                yield writer
                if self._request is not None:
                    writer.record_request(self._request)
                connection.execute("COMMIT")
                self._request = None
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            write_mark(self.folder, identity, number)
            after, self.after_next_commit = self.after_next_commit, None
            if after is not None:
                after()

    def vacuum(self) -> None:
        """Give the room of what was dropped back to the disk, and take the log in.

        Raises:
            StateError: the state cannot be written, or the disk has no room for a second copy.
            StateBusyError: another process holds it for longer than `wait_ms`.
        """
        with self.turn(), translated_errors(self.folder):
            connection = self._for_writing()
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def on_behalf_of(self, request: str) -> Iterator[None]:
        """What the block does is done for a request, once: its name is in the transaction that the block makes, or in one of its own.

        Args:
            request: its name; the first transaction in the block carries it.

        Raises:
            RepeatedError: a request of this name was carried out before; the block's transaction is undone.
            StateError: the state cannot be written.
        """
        with self.lock:
            self._request = request
            try:
                yield
                if self._request is not None:  # nothing had to be written
                    with self.writing():
                        pass
            finally:
                self._request = None

    def _reading(self) -> sqlite3.Connection | None:
        if self._is_replaced():
            self.close()
        if self._connection is None:
            self._files, mark = files_of(self.folder), read_mark(self.folder)
            connection = self._opening(self.folder, self._settings.wait_ms)
            self._adopt(connection, False)
            self._loss = mark_fault(mark, connection, self.folder)
        if self._connection is not None:
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if version != self._version:  # another process may have moved the state to another artifact
                check_owner(self._connection, self._digest, self.folder)
                self._version = version
        return self._connection

    def _is_replaced(self) -> bool:
        """Whether another file lies there than the one that is open: what is open may have no name any more, and a write would be lost."""
        watches = self._connection is not None and self._opening is open_as and not self.is_writing
        return watches and files_of(self.folder) != self._files

    def _adopt(self, connection: sqlite3.Connection | None, writable: bool) -> None:
        """Use a connection that was opened just now, if the state is of this artifact."""
        self._connection, self._writable = connection, writable
        try:
            if connection is not None:
                check_owner(connection, self._digest, self.folder)
        except BaseException:
            self.close()
            raise

    def _begin(self) -> sqlite3.Connection:
        """Begin a write, again if need be.

        SQLite shares its index among the connections of a process: while a monitor in this one looks at the state with the index
        read-only, a writer that is opened cannot write. The look is short.
        """
        deadline = time.monotonic() + self._settings.wait_ms / 1000
        while True:
            connection = self._for_writing()
            try:
                begin_writing(connection, deadline)
                if self._inode in (None, inode_of(self.folder)):
                    return connection
                connection.execute("ROLLBACK")  # it was set aside while we waited: a write to it would be lost
            except sqlite3.OperationalError as error:
                is_ours = "readonly" in str(error) and os.access(self.folder, os.W_OK) and os.access(self.folder / FILE_NAME, os.W_OK)
                if not is_ours or time.monotonic() > deadline:
                    raise
            self.close()
            time.sleep(_PAUSE_S)

    def _for_writing(self) -> sqlite3.Connection:
        if self._loss is not None:
            self.close()  # it may have been put right
        connection = self._reading()
        if connection is not None and self._writable:
            return connection
        self.close()  # a foreign state was refused before anything is written
        if self._loss is not None:
            raise self._loss
        connection = open_for_writing(self.folder, self._settings.wait_ms)
        self._files, self._inode = files_of(self.folder), inode_of(self.folder)
        self._adopt(connection, True)
        return connection
