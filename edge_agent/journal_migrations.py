"""The schema of the journal, step by step: each step is a small function, numbered by its place, and never changes once released.

A new step goes to the end of `MIGRATIONS`. It is given a connection inside the one transaction that brings a journal up to date, so it
must not begin or end one itself, and uses `execute` alone: `executescript` would commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from edge_agent.journal_digests import seal_rows

Migration = Callable[[sqlite3.Connection], None]


def _1_first_schema(connection: sqlite3.Connection) -> None:
    """Facts, labels, corrections, pictures and generations."""
    for statement in (
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE labels (place INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        """CREATE TABLE corrections (
            id INTEGER PRIMARY KEY AUTOINCREMENT, made_at TEXT NOT NULL, image TEXT, sample_id TEXT NOT NULL,
            label TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL, forced INTEGER NOT NULL,
            was_label TEXT NOT NULL, was_probability REAL NOT NULL, now_label TEXT NOT NULL, now_probability REAL NOT NULL,
            steps INTEGER NOT NULL, sentinel TEXT NOT NULL, generation INTEGER NOT NULL,
            active INTEGER NOT NULL, undone_at TEXT, seen BLOB NOT NULL, seen_sha256 TEXT NOT NULL)""",
        "CREATE INDEX active_corrections ON corrections (id) WHERE active",
        """CREATE TABLE pictures (
            correction INTEGER PRIMARY KEY REFERENCES corrections (id), picture BLOB NOT NULL, sha256 TEXT NOT NULL)""",
        """CREATE TABLE generations (
            number INTEGER PRIMARY KEY AUTOINCREMENT, made_at TEXT NOT NULL, cause TEXT NOT NULL, head BLOB NOT NULL,
            sha256 TEXT NOT NULL)""",
    ):
        connection.execute(statement)


def _2_queue(connection: sqlite3.Connection) -> None:
    """Pictures that wait for a person, and what became of those that were asked about."""
    for statement in (
        """CREATE TABLE waiting (
            place INTEGER PRIMARY KEY AUTOINCREMENT, sample_id TEXT NOT NULL UNIQUE, made_at TEXT NOT NULL, image TEXT,
            seen BLOB NOT NULL, seen_sha256 TEXT NOT NULL, picture BLOB NOT NULL, sha256 TEXT NOT NULL)""",
        """CREATE TABLE answers (
            place INTEGER PRIMARY KEY AUTOINCREMENT, sample_id TEXT NOT NULL UNIQUE, made_at TEXT NOT NULL, answer TEXT NOT NULL,
            label TEXT, context BLOB NOT NULL)""",
        "CREATE INDEX corrections_by_sample ON corrections (sample_id)",
    ):
        connection.execute(statement)


def _3_digests_of_rows(connection: sqlite3.Connection) -> None:
    """Every row has a digest, not every blob alone: a label that one flipped bit turns into another one is damage too.

    The index goes: where it is damaged, corrections would be left out in silence. A generation knows the labels of its columns.
    """
    for statement in (
        "DROP INDEX active_corrections",
        "ALTER TABLE corrections ADD COLUMN picture_sha256 TEXT",
        "ALTER TABLE corrections ADD COLUMN row_sha256 TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE labels ADD COLUMN row_sha256 TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE generations ADD COLUMN labels TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE generations ADD COLUMN row_sha256 TEXT NOT NULL DEFAULT ''",
        "UPDATE corrections SET picture_sha256 = (SELECT sha256 FROM pictures WHERE correction = id)",
        "UPDATE generations SET labels = (SELECT json_group_array(name) FROM (SELECT name FROM labels ORDER BY place))",
    ):
        connection.execute(statement)
    for table in ("corrections", "labels", "generations"):
        seal_rows(connection, table)


def _4_requests(connection: sqlite3.Connection) -> None:
    """Requests that were carried out, by the name that their sender gave them."""
    connection.execute(
        """CREATE TABLE requests (
            place INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, made_at TEXT NOT NULL, corrections TEXT NOT NULL,
            row_sha256 TEXT NOT NULL DEFAULT '')"""
    )


def _5_digests_of_every_row(connection: sqlite3.Connection) -> None:
    """The queue's rows and the facts get digests too; corrections that came from another artifact without their picture are pending."""
    for statement in (
        *(f"ALTER TABLE {table} ADD COLUMN row_sha256 TEXT NOT NULL DEFAULT ''" for table in ("facts", "waiting", "answers")),
        """CREATE TABLE pending (
            correction INTEGER PRIMARY KEY, made_at TEXT NOT NULL, image TEXT, sample_id TEXT NOT NULL, label TEXT NOT NULL,
            reason TEXT NOT NULL, row_sha256 TEXT NOT NULL DEFAULT '')""",
    ):
        connection.execute(statement)
    for table in ("facts", "waiting", "answers"):
        seal_rows(connection, table)


MIGRATIONS: tuple[Migration, ...] = (_1_first_schema, _2_queue, _3_digests_of_rows, _4_requests, _5_digests_of_every_row)
