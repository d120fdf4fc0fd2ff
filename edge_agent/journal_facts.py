"""Single values that the journal keeps under a name, each with its digest: whose state it is, which one, and how often it was written."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

from edge_agent.errors import StateError
from edge_agent.journal_digests import of_values, seal_rows
from edge_agent.journal_file import SAVE_HINT

ARTIFACT, IDENTITY, COMMITS = "artifact", "identity", "commits"
_FOREIGN_HINT = "move it with: edge-agent migrate --from ITS-ARTIFACT --to THIS-ARTIFACT; or give each artifact a --state of its own"


def read_fact(connection: sqlite3.Connection, name: str) -> str | None:
    """The value under a name, or None where there is none.

    Raises:
        StateError: it is not what was written.
    """
    row = connection.execute("SELECT name, value, row_sha256 FROM facts WHERE name=?", (name,)).fetchone()
    if row is not None and of_values(row[:2]) != row[2]:
        raise StateError(f"the fact {name!r} of the state is damaged", SAVE_HINT)
    return None if row is None else str(row[1])


def write_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Put a value under a name, in an open transaction."""
    connection.execute("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value", (name, value))
    seal_rows(connection, "facts", "name=?", (name,))


def damaged_facts(connection: sqlite3.Connection) -> list[str]:
    """The names of facts that are not what was written, and of those that every state has and that are gone."""
    rows = connection.execute("SELECT name, value, row_sha256 FROM facts ORDER BY name").fetchall()
    damaged = [str(row[0]) for row in rows if of_values(row[:2]) != row[2]]
    names, is_written = {row[0] for row in rows}, connection.execute("SELECT 1 FROM sqlite_sequence").fetchone() or rows
    needed = (ARTIFACT, IDENTITY, COMMITS) if COMMITS in names or IDENTITY in names else (ARTIFACT,)  # schema 3 had the first alone
    return damaged + [name for name in needed if is_written and name not in names]


def count_commit(connection: sqlite3.Connection, artifact_digest: str) -> tuple[str, int]:
    """Sign a transaction that writes: whose state this is, and one commit more.

    Returns:
        The state's identity and the number of this commit.

    Raises:
        StateError: one of the facts is damaged.
    """
    if read_fact(connection, ARTIFACT) is None:
        write_fact(connection, ARTIFACT, artifact_digest)
    identity = read_fact(connection, IDENTITY)
    if identity is None:
        identity = secrets.token_hex(8)
        write_fact(connection, IDENTITY, identity)
    number = commits(connection) + 1
    write_fact(connection, COMMITS, str(number))
    return identity, number


def commits(connection: sqlite3.Connection) -> int:
    """How many transactions have written to this state.

    Raises:
        StateError: the number is damaged.
    """
    return int(read_fact(connection, COMMITS) or 0)


def check_owner(connection: sqlite3.Connection, artifact_digest: str, folder: Path) -> None:
    """Refuse a state that belongs to another artifact.

    Raises:
        StateError: it does, or the fact is damaged.
    """
    owner = read_fact(connection, ARTIFACT)
    if owner is not None and owner != artifact_digest:
        found = f"it belongs to artifact {owner[:12]}…, this one is {artifact_digest[:12]}…"
        raise StateError(f"the state {folder} is of another artifact: {found}", _FOREIGN_HINT)
