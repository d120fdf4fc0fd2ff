"""A state as one file: a line that says what it is, a line of facts with a digest over all, and the journal as an SQLite file.

What was damaged is never copied: it is either refused, or left out and named (`state_salvage`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge_agent import __version__
from edge_agent.errors import InputError, StateError, UsageError
from edge_agent.journal_facts import ARTIFACT, commits, read_fact
from edge_agent.journal_file import FILE_NAME, checked, migrate, translated_errors, version_of
from edge_agent.journal_mark import mark_fault, read_mark
from edge_agent.state_check import damage_of
from edge_agent.state_reader import open_snapshot
from edge_agent.state_salvage import HEAD, salvage

FIRST_LINE = b"edge-agent state 1\n"
_LONGEST_FACTS = 1024**2
_BLOCK = 1024**2


@dataclass(frozen=True)
class CopiedState:
    """A state that was written to a file, or read from one.

    Attributes:
        file: its path.
        bytes: its length.
        sha256: over the facts and the journal.
        artifact: digest of the artifact that it belongs to.
        commits: how far it had come.
        lost: what was damaged and is not in it.
    """

    file: str
    bytes: int
    sha256: str
    artifact: str
    commits: int
    lost: tuple[str, ...]


def export_state(folder: Path, file: Path, wait_ms: int, artifact_digest: str, salvaging: bool = False) -> CopiedState:
    """Write a sound copy of a state as one file; the state itself is only read, whoever else uses it.

    Args:
        folder: the state directory.
        file: must not exist.
        wait_ms: how long to wait for a process that holds the state for itself alone.
        artifact_digest: the owner of a state whose own word for it is damaged.
        salvaging: whether to leave out what is damaged, and say so, instead of refusing.

    Returns:
        What was written.

    Raises:
        StateError: there is no state, or it is damaged and `salvaging` was not asked for.
        UsageError: the file exists.
        InputError: the file cannot be written.
    """
    if os.path.lexists(file):
        raise UsageError(f"{file} exists", "give a new name: nothing is ever overwritten")
    mark = read_mark(folder)
    connection = open_snapshot(folder, wait_ms)
    if connection is None:
        raise mark_fault(mark, None, folder) or StateError(f"there is no state in {folder}", "name one with --state")
    try:
        with closing(connection), tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=_folder_of(file)) as beside:
            lost = damage_of(connection, folder)
            loss = mark_fault(mark, connection, folder) if not lost else None
            if lost and not salvaging:
                raise StateError(f"the state {folder} is damaged: {'; '.join(lost[:5])}", "save what is sound with --salvage")
            if loss is not None and not salvaging:
                raise loss
            copy = Path(beside, FILE_NAME)
            if lost:
                lost = salvage(connection, copy, artifact_digest)
            else:
                _copy_whole(connection, copy)
                lost = [loss.message] if loss else []
            return _write_file(copy, file, Path(beside, "file"), lost)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}", "name a file in a folder that exists and has room") from None


@contextmanager
def read_state_file(file: Path, wait_ms: int) -> Iterator[tuple[CopiedState, sqlite3.Connection]]:
    """Verify an exported state and open it: digest, schema, every row; nothing else on the disk changes.

    Args:
        file: that `export_state` wrote.
        wait_ms: for SQLite.

    Yields:
        Its facts, and a connection to a private copy of its journal, brought up to date.

    Raises:
        InputError: the file is not an exported state, was cut or changed, or cannot be read.
        StateError: what is in it is damaged, or of a newer version.
    """
    with tempfile.TemporaryDirectory(prefix="edge-agent-state-") as private:
        copy = Path(private, FILE_NAME)
        copied = _unpack(file, copy)
        with translated_errors(Path(private)), closing(checked(str(copy), wait_ms, Path(private))) as connection:
            if not version_of(connection, Path(private)):
                raise InputError(f"{file} holds no journal", "export the state again")
            migrate(connection, Path(private))
            damage = [found for found in damage_of(connection, Path(private)) if not found.startswith(HEAD)]  # those are solved again
            if damage:
                raise StateError(f"the state in {file} is damaged: {'; '.join(damage[:5])}", "take another copy")
            yield copied, connection


def _copy_whole(connection: sqlite3.Connection, copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as target:
        connection.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
        target.execute("VACUUM")


def _write_file(copy: Path, file: Path, beside: Path, lost: list[str]) -> CopiedState:
    """The file in full under another name, then under its own."""
    with closing(sqlite3.connect(copy)) as connection:
        artifact, number = read_fact(connection, ARTIFACT) or "", commits(connection)
    facts = {"artifact": artifact, "bytes": copy.stat().st_size, "commits": number, "edge_agent": __version__, "lost": lost}
    with open(copy, "rb") as journal:
        digest = _digest(facts, journal)
        journal.seek(0)
        with open(beside, "wb") as target:
            target.write(FIRST_LINE + _line({**facts, "sha256": digest}))
            shutil.copyfileobj(journal, target, _BLOCK)
            target.flush()
            os.fsync(target.fileno())
    os.chmod(beside, 0o600)  # it holds pictures
    os.rename(beside, file)
    with suppress(OSError):
        descriptor = os.open(_folder_of(file), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return CopiedState(str(file), file.stat().st_size, digest, artifact, number, tuple(lost))


def _unpack(file: Path, copy: Path) -> CopiedState:
    """Write the journal that a file holds, once its digest fits."""
    foreign = InputError(f"{file} is not a state that edge-agent exported", "give a file that edge-agent state export wrote")
    try:
        with open(file, "rb") as source:
            if source.readline(len(FIRST_LINE)) != FIRST_LINE:
                raise foreign
            facts = json.loads(source.readline(_LONGEST_FACTS))
            sealed = facts.pop("sha256")
            start = source.tell()
            if _digest(facts, source) != sealed:
                raise InputError(f"{file} is damaged: its digest does not fit", "take another copy, or export the state again")
            source.seek(start)
            with open(copy, "wb") as target:
                shutil.copyfileobj(source, target, _BLOCK)
            return CopiedState(
                str(file), file.stat().st_size, sealed, str(facts["artifact"]), int(facts["commits"]), tuple(map(str, facts["lost"]))
            )
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}", "name a file that edge-agent state export wrote") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise foreign from None


def _digest(facts: dict[str, Any], journal: IO[bytes]) -> str:
    """SHA-256 over the facts and what is left of the journal's file."""
    digest = hashlib.sha256(_line(facts))
    while block := journal.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _line(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True).encode() + b"\n"


def _folder_of(file: Path) -> Path:
    return Path(os.path.abspath(file)).parent
