"""What is sound of a damaged journal, row by row, in a new one; what is not is left out and named.

A correction whose row is gone or changed leaves a row in its place that says so, since numbers are never given twice. One that acts and
whose row is sound, but not what was seen of it, is taken back and listed as pending: its picture, where there is one, can be taught again.
No head is copied: it is solved again from the corrections that are left.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_agent.journal_digests import COLUMNS, CORRECTION_COLUMNS, PENDING_COLUMNS, of_bytes, of_values, seal_rows
from edge_agent.journal_facts import ARTIFACT, write_fact
from edge_agent.journal_file import migrate

HEAD = "head "  # how a finding about a head begins: see `find_damage`
LOST = "lost: its row was damaged or gone"
NOT_SEEN = "what the network saw of it was damaged"
_SCAN = 100_000  # row ids past the greatest known one are not tried
_SENTINEL = {"size": 0, "before": 0.0, "after": 0.0, "tolerance": 0.0, "factory": 0.0, "broken": 0, "mended": 0}
_WHOLE = ("facts", "requests", "answers", "pending")
_ROWID = {"facts": "rowid"}
Row = dict[str, Any]


def salvage(source: sqlite3.Connection, file: Path, artifact_digest: str) -> list[str]:
    """Write a new journal with what is sound.

    Args:
        source: a snapshot of the damaged journal.
        file: the new journal; it must not exist.
        artifact_digest: its owner, where its own word for it is damaged.

    Returns:
        What was lost, by name; empty where nothing but heads was.
    """
    with closing(sqlite3.connect(file, isolation_level=None)) as target:
        migrate(target, file.parent)
        target.execute("BEGIN")
        lost = list[str]()
        for table in _WHOLE:
            lost += _copy_sound(source, target, table)
        if not target.execute("SELECT 1 FROM facts WHERE name=?", (ARTIFACT,)).fetchone():
            write_fact(target, ARTIFACT, artifact_digest)
        lost += _copy_labels(source, target)
        lost += _copy_corrections(source, target)
        lost += _copy_waiting(source, target)
        newest = max(1, _sequence(source, "generations"))  # without its head: what is opened is solved again
        target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('generations', ?)", (newest,))
        target.execute("COMMIT")
        return lost


def _copy_sound(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> list[str]:
    names, lost = (*COLUMNS[table], "row_sha256"), list[str]()
    others = ("context",) if table == "answers" else ()
    places = ", ".join("?" * len(names + others))
    for key, row in _rows(source, table, names + others):
        if row is None or of_values(tuple(row[name] for name in COLUMNS[table])) != row["row_sha256"]:
            lost.append(f"row {key} of {table}")
        else:
            target.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(names + others)}) VALUES ({places})", tuple(row.values()))
    return lost


def _copy_labels(source: sqlite3.Connection, target: sqlite3.Connection) -> list[str]:
    """The labels of the newest sound head, whose columns they are, or of the sound rows where there is none."""
    rows = [row for _, row in _rows(source, "labels", ("place", "name", "row_sha256"))]
    sound = [row["name"] for row in rows if row is not None and of_values((row["place"], row["name"])) == row["row_sha256"]]
    if len(sound) == len(rows):
        names, lost = sound, list[str]()
    else:
        columns = (*COLUMNS["generations"], "row_sha256")
        heads = [row for _, row in _rows(source, "generations", columns) if row is not None]
        known = [row for row in heads if of_values(tuple(row[name] for name in COLUMNS["generations"])) == row["row_sha256"]]
        names = list(json.loads(known[-1]["labels"])) if known else sound
        names += [name for name in sound if name not in names]
        lost = [] if known else ["labels that were added on the device"]
    target.executemany("INSERT INTO labels (place, name) VALUES (?, ?)", list(enumerate(names)))
    seal_rows(target, "labels")
    return lost


def _copy_corrections(source: sqlite3.Connection, target: sqlite3.Connection) -> list[str]:
    lost, names = list[str](), (*CORRECTION_COLUMNS, "row_sha256", "seen")
    given = _sequence(source, "corrections")
    rows = dict(_rows(source, "corrections", names, given))
    greatest = max(rows, default=0)
    for number in range(1, (given if greatest <= given <= greatest + _SCAN else greatest) + 1):
        row = rows.get(number)
        if row is None or of_values(tuple(row[name] for name in CORRECTION_COLUMNS)) != row["row_sha256"]:
            lost.append(f"correction {number}")
            _insert(target, "corrections", _lost_row(number))
            seal_rows(target, "corrections", "id=?", (number,))
            continue
        is_seen = of_bytes(row["seen"]) == row["seen_sha256"]
        if not is_seen and (row["active"] or row["seen"]):
            lost.append(f"what was seen of correction {number}")
            row["seen"] = b""
        _insert(target, "corrections", row)
        if not is_seen and row["active"]:
            reason = (f"{row['reason']}; taken back: {NOT_SEEN}", row["made_at"], number)
            target.execute("UPDATE corrections SET active=0, reason=?, undone_at=? WHERE id=?", reason)
            seal_rows(target, "corrections", "id=?", (number,))
            values = {**row, "correction": number, "reason": NOT_SEEN}
            _insert(target, "pending", {name: values[name] for name in PENDING_COLUMNS}, "OR IGNORE")
            seal_rows(target, "pending", "correction=?", (number,))
        lost += _copy_picture(source, target, number, row["picture_sha256"])
    return lost


def _copy_picture(source: sqlite3.Connection, target: sqlite3.Connection, number: int, sha256: str | None) -> list[str]:
    if sha256 is None:
        return []
    row = _row(source, "pictures", ("correction", "picture", "sha256"), "correction", number)
    if row is None or of_bytes(row["picture"]) != sha256:
        return [f"the picture of correction {number}"] if row is not None or not _is_readable(source, number) else []
    _insert(target, "pictures", {**row, "sha256": sha256})
    return []


def _copy_waiting(source: sqlite3.Connection, target: sqlite3.Connection) -> list[str]:
    lost, names = list[str](), (*COLUMNS["waiting"], "row_sha256", "seen", "picture")
    for key, row in _rows(source, "waiting", names):
        is_sound = row is not None and of_values(tuple(row[name] for name in COLUMNS["waiting"])) == row["row_sha256"]
        if row is None or not is_sound or (of_bytes(row["seen"]), of_bytes(row["picture"])) != (row["seen_sha256"], row["sha256"]):
            lost.append(f"the waiting picture in place {key}")
        else:
            _insert(target, "waiting", row)
    return lost


def _rows(source: sqlite3.Connection, table: str, names: tuple[str, ...], most: int = 0) -> Iterator[tuple[int, Row | None]]:
    """Each row by its key, one at a time, so that one page that cannot be read costs its own rows alone; None for such a row."""
    key = _ROWID.get(table, COLUMNS[table][0])
    try:
        keys = [row[0] for row in source.execute(f"SELECT {key} FROM {table} ORDER BY {key}")]
    except sqlite3.DatabaseError:
        keys = list(range(0, min(most or _sequence(source, table), _SCAN) + 1))
    for place in keys:
        try:
            found = _row(source, table, names, key, place)
        except sqlite3.DatabaseError:
            yield place, None
            continue
        if found is not None:
            yield place, found


def _row(source: sqlite3.Connection, table: str, names: tuple[str, ...], key: str, place: int) -> Row | None:
    try:
        found = source.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {key}=?", (place,)).fetchone()
    except sqlite3.DatabaseError:
        if table == "pictures":
            return None
        raise
    return None if found is None else dict(zip(names, found, strict=True))


def _is_readable(source: sqlite3.Connection, number: int) -> bool:
    try:
        source.execute("SELECT length(picture) FROM pictures WHERE correction=?", (number,)).fetchone()
        return True
    except sqlite3.DatabaseError:
        return False


def _sequence(source: sqlite3.Connection, table: str) -> int:
    """The greatest number that a table has given."""
    try:
        row = source.execute("SELECT seq FROM sqlite_sequence WHERE name=?", (table,)).fetchone()
        return int(row[0]) if row else 0
    except (sqlite3.DatabaseError, ValueError, TypeError):
        return 0


def _insert(target: sqlite3.Connection, table: str, row: Row, otherwise: str = "") -> None:
    target.execute(f"INSERT {otherwise} INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def _lost_row(number: int) -> Row:
    """What stands in the place of a correction that is lost: taken back, and it says why."""
    return {
        "id": number, "made_at": "", "image": None, "sample_id": "", "label": "?", "verdict": "accepted", "reason": LOST, "forced": 0,
        "was_label": "?", "was_probability": 0.0, "now_label": "?", "now_probability": 0.0, "steps": 0,
        "sentinel": json.dumps(_SENTINEL, sort_keys=True), "generation": 0, "active": 0, "undone_at": "", "seen": b"",
        "seen_sha256": of_bytes(b""), "picture_sha256": None,
    }  # fmt: skip
