"""A writer's turn, its end and what comes after it."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from on_device import an_entry, files_below, open_journal, some_seen

from edge_agent import journal as module
from edge_agent.errors import StateBusyError, StateError
from edge_agent.journal import Journal
from edge_agent.journal_facts import commits
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_mark import MARK_NAME
from edge_agent.state_reader import open_snapshot


class AskedLock:
    """A lock that says how long it was waited for, and is taken."""

    def __init__(self) -> None:
        self.waited_s = list[float]()

    def acquire(self, timeout: float) -> bool:
        self.waited_s.append(timeout)
        return False


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return open_journal(tmp_path / "state")


def test_a_turn_is_waited_for_as_long_as_the_settings_say(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    lock: Any = AskedLock()
    monkeypatch.setattr(journal, "lock", lock)
    with pytest.raises(StateBusyError), journal.turn():
        pass
    assert lock.waited_s == [journal._settings.wait_ms / 1000]


def test_what_a_block_raised_comes_out_though_its_transaction_is_over(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError), journal.writing() as writer:
        writer._connection.execute("ROLLBACK")  # as SQLite itself does on a full disk
        raise ZeroDivisionError
    assert journal.history() == []


def test_what_waits_for_the_next_commit_happens_once_and_after_it(journal: Journal) -> None:
    seen = list[int]()
    journal.after_next_commit = lambda: seen.append(len(journal.history()))
    with pytest.raises(ZeroDivisionError), journal.writing():
        raise ZeroDivisionError
    assert seen == []
    for number in (1, 2):
        with journal.writing() as writer:
            writer.add_correction(an_entry(number), some_seen(number), None)
    assert seen == [1]


def test_a_turn_that_has_ended_is_free_for_the_other_threads(journal: Journal) -> None:
    with journal.turn(), journal.turn():
        pass
    taken = list[bool]()
    thread = threading.Thread(target=lambda: taken.append(journal.lock.acquire(blocking=False)))
    thread.start()
    thread.join()
    assert taken == [True]


def test_it_is_writing_only_within_a_transaction(journal: Journal) -> None:
    states = [journal.is_writing]
    with journal.writing():
        states.append(journal.is_writing)
    states.append(journal.is_writing)
    journal.close()
    states.append(journal.is_writing)
    assert states == [False, True, False, False]


def test_where_there_is_no_state_there_is_no_generation(journal: Journal) -> None:
    assert journal.sound_generation() is None
    assert journal.generation().head is None
    assert files_below(journal.folder) == {}


def test_a_request_that_wrote_makes_no_transaction_of_its_own(journal: Journal) -> None:
    for number, name in enumerate(("one", "two"), 1):
        with journal.on_behalf_of(name), journal.writing() as writer:
            writer.add_correction(an_entry(number), some_seen(number), None)
        assert journal.read(lambda connection: commits(connection) if connection else 0) == number
    with journal.on_behalf_of("nothing to do"):
        pass
    assert journal.read(lambda connection: commits(connection) if connection else 0) == 3


def test_a_state_of_another_artifact_in_its_place_is_never_read(journal: Journal, tmp_path: Path) -> None:
    for each in (journal, other := open_journal(tmp_path / "other", "b" * 64)):
        with each.writing() as writer:
            writer.add_correction(an_entry(1), some_seen(1), None)
        each.close()
    assert len(journal.history()) == len(other.history()) == 1
    other.close()
    (journal.folder / MARK_NAME).unlink()
    os.replace(other.folder / FILE_NAME, journal.folder / FILE_NAME)
    for _ in range(2):  # the version that SQLite counts for a connection is the one from before
        with pytest.raises(StateError, match="of another artifact"):
            journal.history()


def test_where_there_is_no_state_there_is_no_picture(journal: Journal) -> None:
    assert journal.picture(1) is None


def test_a_writer_waits_for_other_processes_as_long_as_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, waits_s = open_journal(tmp_path / "state", wait_ms=3_600_000), list[float]()

    def begin(connection: sqlite3.Connection, deadline: float) -> None:
        waits_s.append(deadline - time.monotonic())
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(module, "begin_writing", begin)
    with pytest.raises(StateBusyError), journal.writing():
        pytest.fail("it must not be entered")
    assert waits_s == [pytest.approx(3600, abs=2)]


def test_within_a_transaction_its_own_file_is_read_whatever_lies_there(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    with journal.writing() as writer:
        writer.add_correction(an_entry(1), some_seen(1), None)
        monkeypatch.setattr(module, "files_of", lambda folder: ("another", "file"))
        assert len(journal.history()) == 1
        monkeypatch.undo()
    assert len(journal.history()) == 1


def test_one_who_looks_at_a_copy_does_not_watch_the_files(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    with journal.writing() as writer:
        writer.add_correction(an_entry(1), some_seen(1), None)
    opened = list[Path]()

    def opening(folder: Path, wait_ms: int) -> sqlite3.Connection | None:
        opened.append(folder)
        return open_snapshot(folder, wait_ms)

    looker = Journal(journal.folder, "a" * 64, journal._settings, journal._now, opening)
    for _ in range(2):
        assert len(looker.history()) == 1
        monkeypatch.setattr(module, "files_of", lambda folder: ("another", "file"))
    assert len(opened) == 1


@pytest.mark.parametrize("wait_ms, refusals, works", [(5000, 2, True), (0, 2, False)])
def test_a_writer_that_a_look_beside_it_makes_read_only_opens_again(
    wait_ms: int, refusals: int, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, asked, real = open_journal(tmp_path / "state", wait_ms=wait_ms), list[sqlite3.Connection](), module.begin_writing

    def begin(connection: sqlite3.Connection, deadline: float) -> None:
        asked.append(connection)
        if len(asked) <= refusals:
            time.sleep(0.01)
            raise sqlite3.OperationalError("attempt to write a readonly database")
        real(connection, deadline)

    monkeypatch.setattr(module, "begin_writing", begin)
    if works:
        with journal.writing() as writer:
            writer.add_correction(an_entry(1), some_seen(1), None)
        assert len(set(map(id, asked))) == len(asked) == refusals + 1, "each time it is another connection"
        assert len(journal.history()) == 1
    else:
        with pytest.raises(StateError, match="cannot be written"), journal.writing():
            pytest.fail("it must not be entered")
