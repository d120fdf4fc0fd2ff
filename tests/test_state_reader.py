"""Reading the state leaves no trace and disturbs nobody; what is read is one moment of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from on_device import an_entry, open_journal, some_seen

from edge_agent import journal_file, state_reader
from edge_agent.errors import StateBusyError, StateError
from edge_agent.head import AddedClasses, Head
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_mark import MARK_NAME
from edge_agent.journal_migrations import MIGRATIONS
from edge_agent.state_reader import StateFacts, find_damage, open_snapshot, read_facts


def write(folder: Path, count: int = 1) -> None:
    """One generation, and so many corrections with a picture each, every third one refused."""
    journal = open_journal(folder)
    with journal.writing() as writer:
        for _ in range(count):
            number = writer.next_correction()
            writer.add_correction(an_entry(number, active=number % 3 != 0), some_seen(number), b"a picture")
        if not writer.next_generation() > 1:
            writer.add_label("newt")
            writer.queue.add("1f", None, some_seen(9), b"a picture that waits")
        writer.add_generation("correct", Head.factory(3, 2.0, AddedClasses.unlearned(0, 5, 4)), [])
    journal.close()


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and time, SQLite's own included."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}


def count(folder: Path) -> int:
    connection = open_snapshot(folder, 100)
    assert connection is not None
    found = read_facts(connection, 20)
    connection.close()
    return sum(found.verdicts.values())


def test_no_state_is_no_fault(tmp_path: Path) -> None:
    assert open_snapshot(tmp_path / "none", 100) is None
    assert read_facts(None, 20) == StateFacts({}, 0, 0, 0, 0, (), 0, None)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", ["", "fresh"])
def test_a_creation_that_was_cut_short_is_no_fault(tmp_path: Path, content: str) -> None:
    path = tmp_path / FILE_NAME
    path.touch()
    if content:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
    assert open_snapshot(tmp_path, 100) is None


def test_facts(tmp_path: Path) -> None:
    write(tmp_path, 4)
    connection = open_snapshot(tmp_path, 100)
    found = read_facts(connection, 2)
    assert found.verdicts == {"accepted": 3, "refused": 1}
    assert (found.active, found.undone, found.pictures, found.generations) == (3, 0, 4, 1)
    assert found.recent == ("accepted", "refused")
    assert found.newest_at == "2026-01-01T00:00:00.000+00:00"


def test_a_state_that_nobody_has_open_is_left_as_it_was(tmp_path: Path) -> None:
    write(tmp_path)
    before = everything(tmp_path)
    assert set(before) == {FILE_NAME, MARK_NAME}
    assert count(tmp_path) == 1
    assert everything(tmp_path) == before


def test_beside_a_writer_that_hangs_in_a_transaction(tmp_path: Path) -> None:
    write(tmp_path)
    journal = open_journal(tmp_path)
    with journal.writing() as writer:
        writer.add_correction(an_entry(2), some_seen(2), None)
        before = everything(tmp_path)
        assert count(tmp_path) == 1  # what is not committed is not there
        assert {name: kept[0] for name, kept in everything(tmp_path).items()} == {name: kept[0] for name, kept in before.items()}
    assert count(tmp_path) == 2
    journal.close()


def crashed(folder: Path, copy: Path) -> Path:
    """What lies on the disk when the power goes while a process has the state open: the last correction is in the log alone."""
    write(folder)
    journal = open_journal(folder)
    with journal.writing() as writer:
        writer.add_correction(an_entry(2), some_seen(2), None)
    shutil.copytree(folder, copy)
    journal.close()
    return copy


@pytest.mark.parametrize("index", [True, False])
def test_after_a_crash_the_log_is_read(tmp_path: Path, index: bool) -> None:
    folder = crashed(tmp_path / "state", tmp_path / "copy")
    if not index:
        (folder / f"{FILE_NAME}-shm").unlink()
    before = everything(folder)
    assert count(folder) == 2
    assert everything(folder) == before


def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    write(tmp_path)
    journal = open_journal(tmp_path)
    assert len(journal.history()) == 1  # the file is open, as on a device
    connection = open_snapshot(tmp_path, 100)
    write(tmp_path)
    assert sum(read_facts(connection, 20).verdicts.values()) == 1
    assert count(tmp_path) == 2
    journal.close()


def test_beside_a_process_that_keeps_opening_and_closing(tmp_path: Path) -> None:
    write(tmp_path)
    stop, faults = threading.Event(), []

    def teach() -> None:
        while not stop.is_set():
            write(tmp_path, 3)

    thread = threading.Thread(target=teach)
    thread.start()
    try:
        seen = [count(tmp_path) for _ in range(25)]
    except StateError as error:
        faults.append(error)
    finally:
        stop.set()
        thread.join()
    assert not faults
    assert seen == sorted(seen)
    assert all((number - 1) % 3 == 0 for number in seen)


def test_a_state_that_changes_with_every_look_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    signatures = iter(range(1000))
    monkeypatch.setattr(state_reader, "signature", lambda path: next(signatures))
    monkeypatch.setattr(state_reader, "_PAUSE_S", 0)
    with pytest.raises(StateBusyError):
        open_snapshot(tmp_path, 100)


def test_an_older_schema_is_read_as_it_would_become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    before = everything(tmp_path)
    def more(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE facts ADD COLUMN more TEXT")

    monkeypatch.setattr(journal_file, "MIGRATIONS", (*MIGRATIONS, more))
    monkeypatch.setattr(state_reader, "MIGRATIONS", journal_file.MIGRATIONS)
    connection = open_snapshot(tmp_path, 100)
    assert connection is not None
    assert connection.execute("SELECT more FROM facts WHERE name='artifact'").fetchall() == [(None,)]
    assert everything(tmp_path) == before


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + bytes(500)])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(StateError):
        open_snapshot(tmp_path, 100)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_state_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / FILE_NAME).chmod(0)
    with pytest.raises(StateError, match="Permission denied"):
        open_snapshot(tmp_path, 100)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE corrections SET seen=zeroblob(length(seen)) WHERE id=2", ["correction 2"]),
        ("UPDATE pictures SET picture=x'00' WHERE correction=1", ["the picture of correction 1"]),
        ("UPDATE generations SET head=zeroblob(9)", ["head 1"]),
        ("UPDATE waiting SET seen=x'01'", ["what was seen of the waiting picture in place 1"]),
        ("UPDATE waiting SET picture=x'01'", ["the waiting picture in place 1"]),
        ("UPDATE generations SET cause='else'", ["head 1"]),
        ("DELETE FROM generations", ["head 1"]),
        ("UPDATE labels SET name='bewt'", ["the labels that were added on the device are damaged"]),
        ("DELETE FROM corrections WHERE id=2", [
            "the picture of correction 2", "corrections are gone from the state, or in a wrong place: 2",
        ]),
        ("CREATE INDEX more ON corrections (label)", []),
    ],
)
def test_damage_is_named(tmp_path: Path, statement: str, words: list[str]) -> None:
    write(tmp_path, 2)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(statement)
    connection.close()
    snapshot = open_snapshot(tmp_path, 100)
    assert snapshot is not None
    assert list(find_damage(snapshot)) == words


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    write(tmp_path, 3)
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    found = 0
    for start in range(page, len(content), page):
        damaged = bytearray(content)
        damaged[start : start + 8] = b"\xff" * 8
        path.write_bytes(damaged)
        try:
            snapshot = open_snapshot(tmp_path, 100)
            found += bool(snapshot and list(find_damage(snapshot)))
        except (StateError, sqlite3.DatabaseError):
            found += 1
    assert found >= len(content) // page - 2  # a page of a blob's middle has no header: its digest tells
