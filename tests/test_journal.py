"""The journal: what is acknowledged is there, what is damaged is named, what failed left nothing."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from on_device import an_entry, files_below, open_journal, some_seen

from edge_agent import journal as module
from edge_agent.errors import InputError, StateBusyError, StateError
from edge_agent.head import AddedClasses, Head
from edge_agent.journal import Generation, Journal
from edge_agent.journal_facts import ARTIFACT, write_fact
from edge_agent.remembering import Memory
from edge_agent.runtime import Seen

FILE = "journal.sqlite3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def journal(folder: Path) -> Journal:
    return open_journal(folder)


def a_head(seen: list[Seen], added: int = 0, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    contexts = np.concatenate([s.context for s in seen]) if seen else np.zeros((0, 4), np.float32)
    classes = AddedClasses.unlearned(added, 5, 4)
    return Head(contexts, rng.normal(size=(len(contexts), 3 + added)).astype(np.float32), 2.25, classes)


def teach(journal: Journal, count: int = 1, start: int = 1) -> list[Seen]:
    """`count` corrections, each with a generation over all so far."""
    seen = [some_seen(number) for number in range(1, start + count)]
    for number in range(start, start + count):
        with journal.writing() as writer:
            assert writer.next_correction() == number
            writer.add_correction(an_entry(number), seen[number - 1], b"picture %d" % number)
            memories = [Memory((n,), 0, seen[n - 1]) for n in range(1, number + 1)]
            assert writer.add_generation("correct", a_head(seen[:number]), memories) == number
    return seen


def spoil(folder: Path, statement: str, *values: object) -> None:
    """Change the database behind the journal's back."""
    connection = sqlite3.connect(folder / FILE)
    with connection:
        connection.execute(statement, values)
    connection.close()


def asked(folder: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / FILE)
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


class TestReading:
    def test_state_that_is_not_there_is_empty_and_stays_away(self, journal: Journal, folder: Path) -> None:
        assert journal.stamp() is None
        assert (journal.generation().number, journal.generation().head) == (0, None)
        assert (journal.records(), journal.history(), journal.added_labels()) == ([], [], ())
        assert not folder.exists()

    def test_what_was_written_comes_back(self, journal: Journal, folder: Path) -> None:
        seen = teach(journal, 3)
        for reader in (journal, open_journal(folder)):
            records = reader.records()
            assert [(record.id, record.label) for record in records] == [(1, "frog"), (2, "frog"), (3, "frog")]
            for record, expected in zip(records, seen, strict=True):
                for name in ("logits", "features", "context"):
                    assert np.array_equal(getattr(record.seen, name), getattr(expected, name))
                    assert getattr(record.seen, name).dtype == np.float32
            assert reader.history() == [an_entry(number) for number in (1, 2, 3)]
            generation = reader.generation()
            assert generation.number == 3
            assert generation.head is not None
            assert generation.head.digest() == a_head(seen).digest()

    def test_head_with_views_and_added_classes_comes_back(self, journal: Journal, folder: Path) -> None:
        one, views = some_seen(1), some_seen(2, rows=3)
        head = a_head([views, one], added=2)
        head.added.weight[0], head.added.bias[0] = 7, -1.5
        with journal.writing() as writer:
            for number, seen in enumerate((one, views), 1):
                writer.add_correction(an_entry(number), seen, None)
            writer.add_generation("correct", head, [Memory((2,), 0, views), Memory((1,), 0, one)])
        found = open_journal(folder).generation().head
        assert found is not None
        assert found.digest() == head.digest()
        assert len(found.contexts) == 4

    def test_entry_keeps_every_field(self, journal: Journal) -> None:
        entry = replace(an_entry(1, "Möwe"), image=None, forced=True, verdict="refused", active=False, reason='"quoted"; it’s')
        with journal.writing() as writer:
            writer.add_correction(entry, some_seen(1), None)
        assert journal.history() == [entry]
        assert journal.records() == []

    def test_labels_keep_their_order(self, journal: Journal, folder: Path) -> None:
        for name in ("newt", "Äffchen", "axolotl"):
            with journal.writing() as writer:
                writer.add_label(name)
        assert open_journal(folder).added_labels() == ("newt", "Äffchen", "axolotl")
        with pytest.raises(StateError, match="UNIQUE"), journal.writing() as writer:
            writer.add_label("newt")
        assert journal.added_labels() == ("newt", "Äffchen", "axolotl")


class TestWriting:
    def test_failed_block_leaves_nothing(self, journal: Journal, folder: Path) -> None:
        teach(journal, 1)
        before = asked(folder, "SELECT * FROM generations"), journal.history()
        with pytest.raises(KeyboardInterrupt), journal.writing() as writer:
            writer.add_correction(an_entry(2), some_seen(2), b"picture")
            writer.add_label("newt")
            writer.undo([1])
            raise KeyboardInterrupt
        assert (asked(folder, "SELECT * FROM generations"), journal.history()) == before
        assert journal.added_labels() == ()
        assert asked(folder, "SELECT count(*) FROM pictures") == [(1,)]

    def test_undo_keeps_the_history(self, journal: Journal) -> None:
        teach(journal, 3)
        with journal.writing() as writer:
            writer.undo([2])
        assert [record.id for record in journal.records()] == [1, 3]
        first, second, third = journal.history()
        assert (first.undone_at, third.undone_at) == (None, None)
        assert second.undone_at is not None
        assert second.undone_at.startswith("2026-01-01T00:00:0")
        assert (first.active, second.active, third.active) == (True, False, True)

    @pytest.mark.parametrize("number", [2, 9])
    def test_undo_of_what_another_process_undid_is_refused(self, number: int, journal: Journal) -> None:
        teach(journal, 2)
        with journal.writing() as writer:
            writer.undo([2])
        with pytest.raises(InputError, match="at the same moment"), journal.writing() as writer:
            writer.undo([1, number])
        assert [record.id for record in journal.records()] == [1]

    def test_numbers_are_never_given_twice(self, journal: Journal) -> None:
        teach(journal, 2)
        spoil(journal.folder, "DELETE FROM pictures")
        spoil(journal.folder, "DELETE FROM corrections WHERE id=2")
        with journal.writing() as writer:
            assert writer.next_correction() == 3
            assert writer.next_generation() == 3

    def test_old_generations_leave(self, folder: Path) -> None:
        teach(open_journal(folder, kept_generations=3), 7)
        assert asked(folder, "SELECT number FROM generations ORDER BY number") == [(5,), (6,), (7,)]

    def test_clock_is_recorded_and_decides_nothing(self, journal: Journal) -> None:
        with journal.writing() as writer:
            assert writer.moment == "2026-01-01T00:00:01.000+00:00"
        teach(journal, 1)
        journal._now = lambda: datetime(1970, 1, 1, tzinfo=timezone.utc)  # the clock jumps back
        teach(journal, 1, start=2)
        assert [record.id for record in journal.records()] == [1, 2]
        assert journal.generation().number == 2


class TestPictures:
    def test_newest_are_kept(self, folder: Path) -> None:
        teach(open_journal(folder, kept_pictures=2), 5)
        assert asked(folder, "SELECT correction, picture FROM pictures ORDER BY 1") == [(4, b"picture 4"), (5, b"picture 5")]
        assert len(open_journal(folder).history()) == 5, "the correction itself stays"

    def test_bytes_are_limited(self, folder: Path) -> None:
        teach(open_journal(folder, kept_pictures_bytes=30), 5)
        assert asked(folder, "SELECT correction FROM pictures ORDER BY 1") == [(3,), (4,), (5,)]

    def test_one_that_is_too_large_alone_is_not_kept(self, folder: Path) -> None:
        teach(open_journal(folder, kept_pictures_bytes=5), 1)
        assert asked(folder, "SELECT * FROM pictures") == []

    def test_none_are_kept_where_settings_say_so(self, folder: Path) -> None:
        teach(open_journal(folder, keep_pictures=False), 2)
        assert asked(folder, "SELECT * FROM pictures") == []


class TestOwner:
    def test_state_of_another_artifact_is_refused_and_unchanged(self, journal: Journal, folder: Path) -> None:
        teach(journal, 1)
        journal.close()
        before = files_below(folder)
        readers = (Journal.stamp, Journal.generation, Journal.records, Journal.history, Journal.added_labels)
        for call in cast(tuple[Callable[[Journal], object], ...], readers):
            with pytest.raises(StateError, match=r"another artifact: it belongs to artifact aaaaaaaaaaaa…, this one is bbbbbbbbbbbb…"):
                call(open_journal(folder, "b" * 64))
        with pytest.raises(StateError, match="another artifact"), open_journal(folder, "b" * 64).writing():
            pytest.fail("it must not be entered")
        assert files_below(folder) == before

    def test_owner_is_written_with_the_first_transaction(self, journal: Journal, folder: Path) -> None:
        with journal.writing() as writer:
            writer.add_label("newt")
        assert asked(folder, "SELECT name, value FROM facts WHERE name != 'identity'") == [("artifact", "a" * 64), ("commits", "1")]


class TestDamage:
    def test_damaged_correction_is_named_and_can_be_taken_back(self, journal: Journal, folder: Path) -> None:
        teach(journal, 3)
        spoil(folder, "UPDATE corrections SET seen=zeroblob(length(seen)) WHERE id=2")
        assert journal.generation().head is None
        with pytest.raises(StateError, match="correction 2 is damaged") as caught:
            journal.records()
        assert "edge-agent undo 2" in caught.value.hint
        with journal.writing() as writer:
            writer.undo([2])
        assert [record.id for record in journal.records()] == [1, 3]

    def test_one_flipped_bit_is_seen(self, journal: Journal, folder: Path) -> None:
        teach(journal, 1)
        ((blob,),) = asked(folder, "SELECT seen FROM corrections")
        assert isinstance(blob, bytes)
        for place in (0, 8, len(blob) // 2, len(blob) - 1):
            spoil(folder, "UPDATE corrections SET seen=?", blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :])
            with pytest.raises(StateError, match="correction 1 is damaged"):
                journal.records()
        spoil(folder, "UPDATE corrections SET seen=?", blob)
        assert len(journal.records()) == 1

    def test_damaged_generation_is_reported_as_one_without_a_head(self, journal: Journal, folder: Path) -> None:
        teach(journal, 2)
        for damage in ("zeroblob(10)", "CAST(head || 'more' AS BLOB)", "(SELECT head FROM generations WHERE number=1)"):
            ((blob,),) = asked(folder, "SELECT head FROM generations WHERE number=2")
            spoil(folder, f"UPDATE generations SET head={damage} WHERE number=2")
            assert (journal.generation().number, journal.generation().head) == (2, None)
            spoil(folder, "UPDATE generations SET head=? WHERE number=2", blob)
        assert journal.generation().head is not None

    @pytest.mark.parametrize(
        "change",
        ["label='bird'", "active=0", "undone_at='now'", "id=9", "verdict='refused'", "was_probability=0.61", "sentinel='{}'", "steps=7"],
    )
    def test_a_row_that_was_changed_is_named(self, change: str, journal: Journal, folder: Path) -> None:
        teach(journal, 3)
        spoil(folder, f"UPDATE corrections SET {change} WHERE id=2")
        for read in (journal.records, journal.history):
            with pytest.raises(StateError, match=r"correction (2|9) is damaged"):
                read()
        assert len(journal.standing()) == 3
        records, faults = journal.sound_records()
        assert [record.id for record in records] == [1, 3]
        assert faults

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_a_row_that_is_gone_is_named(self, number: int, journal: Journal, folder: Path) -> None:
        teach(journal, 3)
        spoil(folder, f"DELETE FROM corrections WHERE id={number}")
        for read in (journal.records, journal.history):
            with pytest.raises(StateError, match=f"corrections are gone from the state, or in a wrong place: {number};") as caught:
                read()
            assert "state export" in caught.value.hint
        assert len(journal.sound_records()[0]) == 2

    @pytest.mark.parametrize("change", ["SET name='bewt'", "SET place=7", "SET row_sha256=''"])
    def test_a_damaged_label_is_named(self, change: str, journal: Journal, folder: Path) -> None:
        with journal.writing() as writer:
            writer.add_label("newt")
        spoil(folder, f"UPDATE labels {change}")
        with pytest.raises(StateError, match="labels that were added on the device are damaged"):
            journal.added_labels()

    @pytest.mark.parametrize("change", ["UPDATE generations SET number=7 WHERE number=3", "DELETE FROM generations WHERE number=3"])
    def test_an_older_generation_does_not_pass_for_the_newest(self, change: str, journal: Journal, folder: Path) -> None:
        teach(journal, 3)
        spoil(folder, change)
        assert journal.generation().head is None
        sound = journal.sound_generation()
        assert sound is not None
        assert sound.number == 2

    def test_no_generation_is_left(self, journal: Journal, folder: Path) -> None:
        teach(journal, 3)
        spoil(folder, "DELETE FROM generations")
        assert (journal.generation().number, journal.generation().head) == (3, None), "this is not the factory's head"
        assert journal.sound_generation() is None

    def test_a_picture_of_another_correction_is_none(self, journal: Journal, folder: Path) -> None:
        teach(journal, 2)
        assert journal.picture(2) == b"picture 2"
        spoil(folder, "UPDATE pictures SET picture=x'01' WHERE correction=1")
        assert journal.picture(1) is None
        spoil(folder, "DELETE FROM pictures WHERE correction=2")
        spoil(folder, "UPDATE pictures SET correction=2, picture=CAST('picture 1' AS BLOB) WHERE correction=1")
        assert journal.picture(2) is None

    def test_correction_that_is_gone_leaves_no_head(self, journal: Journal, folder: Path) -> None:
        teach(journal, 2)
        spoil(folder, "DELETE FROM corrections WHERE id=1")
        assert journal.generation().head is None

    @pytest.mark.parametrize("value", ["'text'", "7", "0.5"])
    def test_what_is_no_blob_is_damage(self, value: str, journal: Journal, folder: Path) -> None:
        teach(journal, 2)
        spoil(folder, f"UPDATE corrections SET seen={value} WHERE id=2")
        spoil(folder, f"UPDATE pictures SET picture={value} WHERE correction=1")
        spoil(folder, f"UPDATE generations SET head={value} WHERE number=2")
        with pytest.raises(StateError, match="correction 2 is damaged"):
            journal.records()
        assert journal.picture(1) is None
        assert journal.generation().head is None

    def test_damaged_pages_are_our_error(self, journal: Journal, folder: Path) -> None:
        teach(journal, 20)
        journal.close()
        spoil(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
        path = folder / FILE
        data = bytearray(path.read_bytes())
        data[4096:] = b"\xa5" * (len(data) - 4096)
        path.write_bytes(data)
        with pytest.raises(StateError, match="cannot be used: database disk image is malformed") as caught:
            open_journal(folder).history()
        assert "copy" in caught.value.hint
        assert caught.value.exit_code == 73


class TestSharing:
    def test_stamp_changes_when_another_one_commits(self, journal: Journal, folder: Path) -> None:
        teach(journal, 1)
        other = open_journal(folder)
        first = other.stamp()
        assert other.stamp() == first
        teach(journal, 1, start=2)
        assert other.stamp() not in (first, None)

    def test_stamp_stays_with_own_commits(self, journal: Journal) -> None:
        teach(journal, 1)
        first = journal.stamp()
        teach(journal, 1, start=2)
        assert journal.stamp() == first

    def test_stamp_changes_with_every_opening(self, journal: Journal, folder: Path) -> None:
        teach(journal, 1)
        found = {journal.stamp()}
        for number in (2, 3, 4):  # SQLite's own number begins anew, and may be what it was
            journal.close()
            teach(open_journal(folder), 1, start=number)
            found.add(journal.stamp())
        assert len(found) == 4

    def test_busy_state_is_named(self, journal: Journal, folder: Path) -> None:
        teach(journal, 1)
        impatient = open_journal(folder, wait_ms=20)
        with journal.writing():
            with pytest.raises(StateBusyError, match=rf"in use by this process \({os.getpid()}\)") as caught, impatient.writing():
                pytest.fail("it must not be entered")
            assert "wait_ms" in caught.value.hint
            assert len(impatient.records()) == 1, "readers do not wait"
        with impatient.writing() as writer:
            writer.add_label("newt")

    def test_writer_waits_for_its_turn(self, journal: Journal, folder: Path) -> None:
        teach(journal, 1)
        other, entered = open_journal(folder), threading.Event()

        def late() -> None:
            with other.writing() as writer:
                entered.set()
                writer.add_label("second")

        with journal.writing() as writer:
            thread = threading.Thread(target=late)
            thread.start()
            assert not entered.wait(0.05)
            writer.add_label("first")
        thread.join(10)
        assert journal.added_labels() == ("first", "second")

    def test_threads_share_one_journal(self, journal: Journal) -> None:
        faults: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(10):
                    with journal.writing() as writer:
                        number = writer.next_correction()
                        writer.add_correction(an_entry(number), some_seen(number), b"picture")
                    journal.records()
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not faults
        assert [entry.id for entry in journal.history()] == list(range(1, 41))

    def test_closed_journal_opens_again(self, journal: Journal) -> None:
        teach(journal, 1)
        journal.close()
        journal.close()
        assert len(journal.records()) == 1
        journal.close()
        teach(journal, 1, start=2)
        assert len(journal.records()) == 2


class TestReplacedBehindItsBack:
    """Another process sets the file aside, or moves the state to another artifact, while this one has it open."""

    def test_a_writer_that_waited_writes_to_the_file_that_is_there(self, journal: Journal, folder: Path, tmp_path: Path) -> None:
        teach(journal, 1)
        other = open_journal(tmp_path / "other")
        teach(other, 3)
        other.close()
        holder = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        written = list[int]()

        def write() -> None:
            with journal.writing() as writer:
                written.append(writer.next_correction())
                writer.add_correction(an_entry(written[0]), some_seen(9), None)

        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.1)  # it waits for the file that is open
        (folder / "journal.mark").unlink()
        aside = tmp_path / "aside"
        aside.mkdir()
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            os.rename(folder / name, aside / name)
        os.rename(tmp_path / "other" / FILE, folder / FILE)
        holder.execute("ROLLBACK")
        holder.close()
        thread.join(10)
        assert written == [4]
        assert asked(folder, "SELECT max(id) FROM corrections") == [(4,)]
        assert asked(aside, "SELECT max(id) FROM corrections") == [(1,)]
        assert [entry.id for entry in journal.history()] == [1, 2, 3, 4]

    @pytest.mark.parametrize("look", [Journal.stamp, Journal.generation, Journal.history, Journal.records, Journal.standing])
    def test_a_state_that_was_moved_to_another_artifact_is_read_no_more(
        self, look: Callable[[Journal], object], journal: Journal, folder: Path
    ) -> None:
        teach(journal, 1)
        look(journal)
        with open_journal(folder).writing() as writer:
            write_fact(writer._connection, ARTIFACT, "b" * 64)
        with pytest.raises(StateError, match="of another artifact"):
            look(journal)
        with pytest.raises(StateError, match="of another artifact"), journal.writing():
            pytest.fail("it must not be entered")

    def test_the_owner_is_asked_within_the_transaction(self, journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        teach(journal, 1)
        real = Journal._begin

        def late(self: Journal) -> sqlite3.Connection:
            connection = real(self)
            write_fact(connection, ARTIFACT, "b" * 64)  # as if another one had been first
            return connection

        monkeypatch.setattr(Journal, "_begin", late)
        with pytest.raises(StateError, match="of another artifact"), journal.writing():
            pytest.fail("it must not be entered")
        monkeypatch.undo()
        assert len(journal.history()) == 1

    def test_what_is_read_of_a_head_is_ours_at_its_end(self, journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        teach(journal, 1)
        other, real = open_journal(folder), module.read_generations

        def meanwhile(connection: sqlite3.Connection) -> Iterator[Generation]:
            with other.writing() as writer:
                write_fact(writer._connection, ARTIFACT, "b" * 64)
            return real(connection)

        monkeypatch.setattr(module, "read_generations", meanwhile)
        with pytest.raises(StateError, match="of another artifact"):
            journal.generation()


class TestRoom:
    def test_what_was_dropped_gives_its_room_back(self, journal: Journal, folder: Path) -> None:
        teach(journal, 3)
        with journal.writing() as writer:
            writer.add_correction(an_entry(4), some_seen(4), bytes(500_000))
        spoil(folder, "DELETE FROM pictures")
        before = (folder / FILE).stat().st_size + (folder / f"{FILE}-wal").stat().st_size
        journal.vacuum()
        assert (folder / f"{FILE}-wal").stat().st_size == 0
        assert (folder / FILE).stat().st_size < before - 500_000
        assert len(journal.records()) == 4


class TestTurn:
    def test_the_error_says_for_how_long(self, folder: Path) -> None:
        journal, said = open_journal(folder, wait_ms=30), list[str]()

        def late() -> None:
            with pytest.raises(StateBusyError) as caught, journal.turn():
                pytest.fail("it must not be entered")
            said.append(caught.value.message)

        for _ in range(2):  # the second turn is counted from its own beginning
            with journal.turn():
                time.sleep(0.22)
                with journal.turn():  # taken again inside: it began before
                    thread = threading.Thread(target=late)
                    thread.start()
                    thread.join(10)
        seconds = [float(message.rpartition("for ")[2].removesuffix(" s")) for message in said]
        assert len(seconds) == 2
        assert all(0.2 < each < 30 for each in seconds)
        assert journal._since is None, "a turn that has ended counts no further"
