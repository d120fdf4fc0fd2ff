"""The journal's SQLite file: creation, bringing it up to date, opening for reading where nothing may be written, and its errors as ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from edge_agent.errors import StateBusyError, StateError
from edge_agent.journal_holder import holder_of
from edge_agent.journal_migrations import MIGRATIONS

FILE_NAME = "journal.sqlite3"
APPLICATION_ID = 0x45444741  # "EDGA"
SAVE_HINT = "keep a copy of the directory; save what is sound with edge-agent state export --salvage, and start with another --state"
_LOOK_EVERY_S = 0.001
_LOG_BYTES = 4 * 1024**2  # what a checkpoint leaves of the log


def open_for_writing(folder: Path, wait_ms: int) -> sqlite3.Connection:
    """Open the journal, creating folder, file and tables as needed.

    Args:
        folder: the state directory.
        wait_ms: how long a transaction waits for another process.

    Returns:
        A connection in autocommit mode: WAL, every commit on the disk before it returns.

    Raises:
        StateError: the folder cannot be written, the file is not ours, damaged, or of a newer version.
        StateBusyError: another process holds it for longer than the wait.
    """
    path = folder / FILE_NAME
    with translated_errors(folder):
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error.strerror or str(error)) from None
        if not path.exists():
            _create_for_owner(path, folder)
        connection = sqlite3.connect(path, timeout=wait_ms / 1000, isolation_level=None, check_same_thread=False)
        try:
            version_of(connection, folder)  # somebody else's file is refused before its journal mode is touched
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
            connection.execute("PRAGMA foreign_keys=ON")
            migrate(connection, folder)
        except BaseException:
            connection.close()
            raise
        # Each time: who created the journal may have been killed before it came to this.
        for place in dict.fromkeys((folder, folder.parent, *(new.parent for new in made))):
            _sync_folder(place)
        return connection


def begin_writing(connection: sqlite3.Connection, deadline: float) -> None:
    """Begin a transaction that writes, or wait for it.

    SQLite's own wait grows to 100 ms between two looks: beside busy writers it is seldom there when they let go. This one looks often.

    Args:
        connection: in autocommit mode.
        deadline: of `time.monotonic`.

    Raises:
        sqlite3.OperationalError: others held it until the deadline, or it cannot be written.
    """
    (patience_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_LOOK_EVERY_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout={patience_ms}")


def open_for_reading(folder: Path, wait_ms: int) -> sqlite3.Connection | None:
    """Open the journal without writing anything, also on a read-only disk; one of an older version is brought up to date.

    Returns:
        A connection, or None where there is no journal yet, or one whose creation was cut short: the first write finishes it.

    Raises:
        StateError: the file is not ours, damaged, of a newer version or not readable.
    """
    path = folder / FILE_NAME
    with translated_errors(folder):
        if not path.exists():
            return None
        connection = _opened(path, wait_ms, folder)
        version = version_of(connection, folder)
        if version == len(MIGRATIONS):
            return connection
        connection.close()
        return open_for_writing(folder, wait_ms) if version else None


@contextlib.contextmanager
def translated_errors(folder: Path) -> Iterator[None]:
    """Turn SQLite's and the system's exceptions into ours.

    Raises:
        StateError: the state cannot be used; the message says what SQLite or the system said.
        StateBusyError: another process holds it for longer than the wait.
    """
    try:
        yield
    except UnicodeDecodeError:  # a table's definition, or SQLite's words about it
        raise StateError(f"the state {folder} is damaged: text in it is no text any more", SAVE_HINT) from None
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            holder = holder_of(folder / FILE_NAME)
            raise StateBusyError(f"the state {folder} is in use by {holder}", "try again, or raise wait_ms") from None
        if "readonly" in text or "read-only" in text or "unable to open" in text:
            raise unwritable(folder, text) from None
        if "full" in text:
            raise StateError(f"the disk of the state {folder} is full", "free some space; predictions go on", True) from None
        hint = "keep a copy of the directory and start with another --state"
        raise StateError(f"the state {folder} cannot be used: {text}", hint, "I/O" in text) from None
    except OSError as error:
        raise StateError(f"the state {folder} cannot be used: {error.strerror}", "check its rights and its disk", True) from None


def unwritable(folder: Path, reason: str) -> StateError:
    """The error for a state directory that cannot be written."""
    hint = "predictions go on; give --state a directory that can be written"
    return StateError(f"the state {folder} cannot be written: {reason}", hint, True)


def _opened(path: Path, wait_ms: int, folder: Path) -> sqlite3.Connection:
    """A connection that writes nothing."""
    location = urllib.parse.quote(str(path.absolute()))
    try:
        return checked(f"file:{location}?mode=ro", wait_ms, folder)
    except sqlite3.OperationalError as error:  # a WAL needs its -shm file beside it, which a read-only disk cannot give
        if "locked" in str(error):
            raise  # by a live process: what follows is for files that nobody changes
    log = Path(f"{path}-wal")
    if not log.exists() or not log.stat().st_size:
        return checked(f"file:{location}?immutable=1", wait_ms, folder)
    with tempfile.TemporaryDirectory() as copy:
        for source in (path, log):
            shutil.copy(source, copy)
        connection = checked(f"file:{urllib.parse.quote(copy)}/{FILE_NAME}", wait_ms, folder)
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.backup(memory)
        connection.close()
        return memory


def checked(location: str, wait_ms: int, folder: Path) -> sqlite3.Connection:
    """A connection to one SQLite URI, when what lies there is a journal of ours, or empty.

    Raises:
        StateError: not ours, or of a newer version.
    """
    connection = sqlite3.connect(location, uri=True, timeout=wait_ms / 1000, isolation_level=None, check_same_thread=False)
    try:
        version_of(connection, folder)
        return connection
    except BaseException:
        connection.close()
        raise


def version_of(connection: sqlite3.Connection, folder: Path) -> int:
    """The schema's version; 0 for an empty file.

    Raises:
        StateError: the file is not ours, or of a newer version.
    """
    queries = ("PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM sqlite_master")
    is_alone = not connection.in_transaction
    if is_alone:
        connection.execute("BEGIN")  # one moment for all three: another process may be creating the tables just now
    try:
        version, owner, tables = (int(connection.execute(query).fetchone()[0]) for query in queries)
    finally:
        if is_alone and connection.in_transaction:
            connection.execute("COMMIT")
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StateError(f"{folder / FILE_NAME} is not a journal of edge-agent", "give --state another directory")
    if owner and not (version and tables):  # all three are written by one transaction
        raise StateError(f"the state {folder} is damaged: its schema has lost its version or its tables", SAVE_HINT)
    if version > len(MIGRATIONS):
        found = f"version {version}, this program knows {len(MIGRATIONS)}"
        raise StateError(f"the state {folder} was written by a newer edge-agent ({found})", "update edge-agent")
    return version


def migrate(connection: sqlite3.Connection, folder: Path) -> None:
    """Bring the schema up to date, all steps in one transaction: see `journal_migrations`.

    Raises:
        StateError: the file is not ours, or of a newer version.
    """
    if version_of(connection, folder) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")  # two processes may create the state at the same moment
    try:
        for number in range(version_of(connection, folder), len(MIGRATIONS)):
            MIGRATIONS[number](connection)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut; not every file system can, and none needs more."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _create_for_owner(path: Path, folder: Path) -> None:
    """A journal that root makes in somebody's folder is theirs: SQLite gives its log and index to the owner of the journal itself."""
    owner = os.stat(folder)
    if hasattr(os, "geteuid") and os.geteuid() == 0 and owner.st_uid:
        path.touch()
        os.chown(path, owner.st_uid, owner.st_gid)
