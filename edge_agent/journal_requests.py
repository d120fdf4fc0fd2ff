"""The requests that were carried out, by name: one that comes a second time is known, and does nothing again.

A message that must not be lost may be delivered twice. Its name is written in the transaction of what it asked for, so that there is no
moment at which one of the two is on the disk without the other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.errors import RepeatedError, StateError
from edge_agent.journal_digests import REQUEST_COLUMNS, of_values, seal_rows

REQUESTS_KEPT = 10_000  # the newest: a megabyte; a broker or a client repeats within seconds


@dataclass(frozen=True)
class Requested:
    """A request that was carried out.

    Attributes:
        name: as its sender called it.
        made_at: when, ISO 8601 in UTC.
        corrections: ids of the corrections that it made or took back.
    """

    name: str
    made_at: str
    corrections: tuple[int, ...]


def find_request(connection: sqlite3.Connection | None, name: str) -> Requested | None:
    """The request of this name, or None where none was carried out.

    Raises:
        StateError: its row is damaged.
    """
    query = f"SELECT {', '.join(REQUEST_COLUMNS)}, row_sha256 FROM requests WHERE name=?"
    row = connection.execute(query, (name,)).fetchone() if connection else None
    if row is None:
        return None
    if of_values(row[:-1]) != row[-1]:
        raise StateError(f"the record of request {name[:64]!r} is damaged", "see edge-agent history for what it did")
    return Requested(row[1], row[2], tuple(json.loads(row[3])))


def read_requests(connection: sqlite3.Connection | None) -> list[Requested]:
    """Every request that is known, the first one first."""
    rows = connection.execute("SELECT name, made_at, corrections FROM requests ORDER BY place").fetchall() if connection else []
    return [Requested(name, made_at, tuple(json.loads(corrections))) for name, made_at, corrections in rows]


def record_request(connection: sqlite3.Connection, name: str, moment: str, corrections: Iterable[int]) -> None:
    """Write down that a request was carried out, in the open transaction.

    Raises:
        RepeatedError: it was carried out before, by whichever process.
    """
    row = (name, moment, json.dumps(list(corrections)))
    found = connection.execute("INSERT OR IGNORE INTO requests (name, made_at, corrections) VALUES (?, ?, ?)", row)
    if not found.rowcount:
        raise RepeatedError(f"request {name[:64]!r} was carried out before", "nothing was changed; see edge-agent history")
    seal_rows(connection, "requests", "place=?", (found.lastrowid,))
    connection.execute("DELETE FROM requests WHERE place <= ?", ((found.lastrowid or 0) - REQUESTS_KEPT,))
