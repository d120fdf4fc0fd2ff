"""What a state directory holds, replaced as a whole: by an exported state, or by the state of another artifact. The old one stays beside.

Where the old journal is sound, the new rows go into it in one transaction: who else uses the state waits, and then sees the new ones; a
power cut leaves the one or the other. Where SQLite cannot use it, its files are set aside and the new one is renamed into their place;
the mark stays until then, so that a cut between the two is named, and never passes for a state that was empty.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_agent.artifact import Artifact
from edge_agent.errors import StateBusyError, StateError
from edge_agent.journal import Journal
from edge_agent.journal_facts import COMMITS, IDENTITY, write_fact
from edge_agent.journal_file import FILE_NAME, open_for_reading, open_for_writing, translated_errors
from edge_agent.journal_mark import read_mark, write_mark
from edge_agent.journal_writer import Writer, replace_rows
from edge_agent.keeper import HeadKeeper
from edge_agent.settings import Settings
from edge_agent.state_copy import CopiedState, read_state_file


@dataclass(frozen=True)
class Replaced:
    """A state that took another one's place.

    Attributes:
        state: the directory.
        kept: where what it held before is, a state directory of its own; None where it held nothing.
        corrections, active: how many it holds now, and how many of them act.
        generation: number of its head.
        lost: what the copy had lost before.
    """

    state: str
    kept: str | None
    corrections: int
    active: int
    generation: int
    lost: tuple[str, ...]


def import_state(file: Path, folder: Path, artifact: Artifact, settings: Settings, replacing: bool) -> Replaced:
    """Put an exported state into a directory, once all of it is verified.

    Args:
        file: that `export_state` wrote.
        folder: the state directory; it need not exist.
        artifact: the state must be of this one.
        settings: waits, and the engine where a head has to be solved again.
        replacing: whether a state that is there already may be replaced; it is kept beside.

    Returns:
        What is there now.

    Raises:
        InputError: the file is not an exported state, or was changed.
        StateError: what is in it is damaged or of another artifact; or the directory holds a state, or cannot be written.
        RuntimeUnavailable: a head has to be solved again and the engine cannot be had.
    """
    with read_state_file(file, settings.wait_ms) as (copied, source):
        if copied.artifact != artifact.digest:
            found = f"it is of artifact {copied.artifact[:12]}…, this one is {artifact.digest[:12]}…"
            raise StateError(f"{file} is of another artifact: {found}", "import it with its own --artifact, then edge-agent migrate")
        _solve_if_needed(source, artifact, settings)
        kept = put_state(source, folder, artifact.digest, settings, "import", replacing)
    return _as_it_is_now(folder, artifact, settings, kept, copied)


def replace_in_place(
    source: sqlite3.Connection, journal: Journal, settings: Settings, cause: str, check: Callable[[], None], replacing: bool = True
) -> Path | None:
    """Put a sound journal's rows in the place of another's, in one transaction of it.

    Args:
        source: of the new rows.
        journal: what it replaces.
        settings: waits.
        cause: goes into the name of what is kept.
        check: raises where the journal is not what it was; called when nobody else can write.
        replacing: whether it may hold something.

    Returns:
        Where what it held is kept, or None where it held nothing.

    Raises:
        StateError: it cannot be written, or holds something that may not be replaced.
    """
    with journal.writing() as writer:
        check()
        is_used = journal.read(_is_used)
        if is_used and not replacing:
            raise StateError(f"the state {journal.folder} is not empty", "give another --state, or --replace: the old one stays beside")
        kept = _keep_copy(journal, cause, settings.wait_ms) if is_used else None
        writer.replace_all(source)
    return kept


def put_state(source: sqlite3.Connection, folder: Path, digest: str, settings: Settings, cause: str, replacing: bool) -> Path | None:
    """Put a sound journal into a directory, which need not exist.

    Args:
        source: of the new rows.
        folder: the state directory.
        digest: of the artifact that the state is to belong to.
        settings: waits.
        cause: goes into the name of what is kept.
        replacing: whether a state that is there already may be replaced, a damaged one too; it is kept beside.

    Returns:
        Where what it held is kept, or None where it held nothing.

    Raises:
        StateError: it holds a state that may not be replaced, or cannot be written.
        StateBusyError: another process holds it for longer than `wait_ms`.
    """
    journal = Journal(folder, digest, settings, _now)
    try:
        return replace_in_place(source, journal, settings, cause, lambda: None, replacing)
    except StateBusyError:
        raise
    except StateError:
        if not replacing or (not (folder / FILE_NAME).exists() and read_mark(folder) is None):
            raise
        journal.close()
        return _set_aside(source, folder, settings, cause)
    finally:
        journal.close()


def _set_aside(source: sqlite3.Connection, folder: Path, settings: Settings, cause: str) -> Path:
    """The way of a journal that cannot be used: damaged, gone, or of another artifact."""
    mark = read_mark(folder)
    identity, number = (mark.identity, mark.commits + 1) if mark else (secrets.token_hex(8), 1)
    with translated_errors(folder):
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as new:
            with closing(open_for_writing(Path(new), settings.wait_ms)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                replace_rows(connection, source)
                write_fact(connection, IDENTITY, identity)
                write_fact(connection, COMMITS, str(number))
                connection.execute("COMMIT")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            kept = _free_name(folder, cause)
            kept.mkdir()
            for name in (f"{FILE_NAME}-wal", FILE_NAME):  # the log first: alone it would be put into the journal that comes
                with suppress(FileNotFoundError):
                    os.rename(folder / name, kept / name)
            with suppress(FileNotFoundError):
                os.unlink(folder / f"{FILE_NAME}-shm")
            os.rename(Path(new, FILE_NAME), folder / FILE_NAME)
            for place in (kept, folder):
                _sync(place)
        write_mark(folder, identity, number)
        return kept


def _keep_copy(journal: Journal, cause: str, wait_ms: int) -> Path:
    """A state directory of its own with all that the journal held when the open transaction began."""
    kept = _free_name(journal.folder, cause)
    kept.mkdir()
    reader = open_for_reading(journal.folder, wait_ms)
    if reader is not None:
        with closing(reader), closing(sqlite3.connect(kept / FILE_NAME, isolation_level=None)) as target:
            reader.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
    _sync(kept / FILE_NAME)
    _sync(kept)
    _sync(journal.folder)
    return kept


def _free_name(folder: Path, cause: str) -> Path:
    number = 1
    while (folder / f"before-{cause}-{number}").exists():
        number += 1
    return folder / f"before-{cause}-{number}"


def _is_used(connection: sqlite3.Connection | None) -> bool:
    """Whether a journal holds anything that somebody put there."""
    tables = ("corrections", "labels", "waiting", "answers", "pending", "generations")
    return connection is not None and any(connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)


def _solve_if_needed(source: sqlite3.Connection, artifact: Artifact, settings: Settings) -> None:
    """A salvaged state has no head: it is solved from the corrections that are left, before anything changes."""
    journal = Journal(Path("the copy"), artifact.digest, settings, _now, lambda *_: source)
    if journal.generation().head is not None or not journal.generation().number:
        return
    keeper = HeadKeeper(artifact, settings, journal)
    serving = keeper.current()
    evidence = keeper.evidence(serving)
    solution = keeper.solve(evidence, serving.labels)
    source.execute("BEGIN IMMEDIATE")
    keeper.publish(Writer(source, settings, _now().isoformat(timespec="milliseconds")), "import", evidence, serving.labels, solution)
    source.execute("COMMIT")


def _as_it_is_now(folder: Path, artifact: Artifact, settings: Settings, kept: Path | None, copied: CopiedState) -> Replaced:
    journal = Journal(folder, artifact.digest, settings, _now)
    try:
        standing = journal.standing()
        active = sum(stands == "active" for stands in standing.values())
        return Replaced(str(folder), None if kept is None else str(kept), len(standing), active, journal.generation().number, copied.lost)
    finally:
        journal.close()


def _sync(path: Path) -> None:
    """Force a file or a folder to the disk.

    Raises:
        StateError: it cannot be.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(f"{path} cannot be forced to the disk: {error.strerror}", "nothing was replaced; check the disk") from None


def _now() -> datetime:
    return datetime.now(timezone.utc)
