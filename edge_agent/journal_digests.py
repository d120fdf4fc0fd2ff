"""SHA-256 over what the journal keeps: over the bytes of a blob, and over the values of a row."""

from __future__ import annotations

import hashlib
import json
import sqlite3

CORRECTION_COLUMNS = (
    "id", "made_at", "image", "sample_id", "label", "verdict", "reason", "forced", "was_label", "was_probability", "now_label",
    "now_probability", "steps", "sentinel", "generation", "active", "undone_at", "seen_sha256", "picture_sha256",
)  # fmt: skip
"""What the digest of a correction's row covers, and through the last two its blobs."""
LABEL_COLUMNS = ("place", "name")
GENERATION_COLUMNS = ("number", "made_at", "cause", "labels", "sha256")
REQUEST_COLUMNS = ("place", "name", "made_at", "corrections")
FACT_COLUMNS = ("name", "value")
WAITING_COLUMNS = ("place", "sample_id", "made_at", "image", "seen_sha256", "sha256")
ANSWER_COLUMNS = ("place", "sample_id", "made_at", "answer", "label", "context")
PENDING_COLUMNS = ("correction", "made_at", "image", "sample_id", "label", "reason")
COLUMNS = {
    "corrections": CORRECTION_COLUMNS, "labels": LABEL_COLUMNS, "generations": GENERATION_COLUMNS, "facts": FACT_COLUMNS,
    "waiting": WAITING_COLUMNS, "answers": ANSWER_COLUMNS, "pending": PENDING_COLUMNS,
    "requests": REQUEST_COLUMNS,
}  # fmt: skip
"""What the digest of a row covers, table by table; the first column names the row."""

_JSON = json.JSONEncoder(default=repr)  # made once: `json.dumps` with a default makes one for each row


def of_bytes(blob: object) -> str:
    """SHA-256 (hex) of a blob; of what is none, such as the NULL that a damaged page gives, it is empty and fits nothing."""
    return hashlib.sha256(blob).hexdigest() if isinstance(blob, bytes) else ""


def of_values(values: tuple[object, ...]) -> str:
    """SHA-256 (hex) of the values of a row, as SQLite gives them back: text, numbers, bytes and None."""
    return of_bytes(_JSON.encode(values).encode())


def seal_rows(connection: sqlite3.Connection, table: str, where: str = "1", values: tuple[object, ...] = ()) -> None:
    """Write the digest of each row that meets a condition, over what SQLite gives back for it.

    Args:
        connection: in a transaction.
        table: one of `COLUMNS`.
        where: the condition in SQL.
        values: what its question marks stand for.
    """
    columns = COLUMNS[table]
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}", values).fetchall()
    sealed = [(of_values(row), row[0]) for row in rows]
    connection.executemany(f"UPDATE {table} SET row_sha256=? WHERE {columns[0]}=?", sealed)


def unsealed_rows(connection: sqlite3.Connection, table: str) -> list[object]:
    """The first column of each row of a table whose digest does not fit."""
    rows = connection.execute(f"SELECT {', '.join(COLUMNS[table])}, row_sha256 FROM {table} ORDER BY 1").fetchall()
    return [row[0] for row in rows if of_values(tuple(row[:-1])) != row[-1]]
