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
_KEYS = {
    "corrections": CORRECTION_COLUMNS, "labels": LABEL_COLUMNS, "generations": GENERATION_COLUMNS, "requests": REQUEST_COLUMNS,
}  # fmt: skip


def of_bytes(blob: bytes) -> str:
    """SHA-256 (hex) of a blob."""
    return hashlib.sha256(blob).hexdigest()


def of_values(values: tuple[object, ...]) -> str:
    """SHA-256 (hex) of the values of a row, as SQLite gives them back: text, numbers and None."""
    return of_bytes(json.dumps(values, default=repr).encode())


def seal_rows(connection: sqlite3.Connection, table: str, where: str = "1", values: tuple[object, ...] = ()) -> None:
    """Write the digest of each row that meets a condition, over what SQLite gives back for it.

    Args:
        connection: in a transaction.
        table: "corrections", "labels", "generations" or "requests".
        where: the condition in SQL.
        values: what its question marks stand for.
    """
    columns = _KEYS[table]
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}", values).fetchall()
    sealed = [(of_values(row), row[0]) for row in rows]
    connection.executemany(f"UPDATE {table} SET row_sha256=? WHERE {columns[0]}=?", sealed)
