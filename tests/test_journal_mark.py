"""The mark: an older copy of the journal, valid in every byte, does not pass for the one that was here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from on_device import an_entry, open_journal, some_seen

from edge_agent.errors import StateError
from edge_agent.journal import Journal
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_mark import MARK_NAME, Mark, mark_fault, read_mark, write_mark


def teach(journal: Journal, count: int = 1) -> None:
    for _ in range(count):
        with journal.writing() as writer:
            number = writer.next_correction()
            writer.add_correction(an_entry(number), some_seen(number), None)


def test_it_follows_every_commit(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for number in (1, 2, 3):
        teach(journal)
        mark = read_mark(tmp_path)
        assert mark is not None
        assert mark.commits == number
    with pytest.raises(ZeroDivisionError), journal.writing():
        raise ZeroDivisionError
    assert read_mark(tmp_path) == mark
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} >= {FILE_NAME, MARK_NAME}
    assert not list(tmp_path.glob(f".{MARK_NAME}*"))


def test_an_older_journal_is_named_read_and_not_written(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    journal = open_journal(folder)
    teach(journal)
    journal.close()
    shutil.copy(folder / FILE_NAME, tmp_path / "older")
    teach(journal, 2)
    shutil.copy(folder / FILE_NAME, tmp_path / "newer")
    journal.close()
    os.replace(tmp_path / "older", folder / FILE_NAME)
    for again in (journal, open_journal(folder)):
        assert len(again.history()) == 1
        with pytest.raises(StateError, match="was replaced: it ends at commit 1, this directory had come to 3") as caught:
            again.records()
        assert str(folder / MARK_NAME) in caught.value.hint
        with pytest.raises(StateError, match="was replaced"), again.writing():
            pytest.fail("it must not be entered")
        assert [len(found) for found in again.sound_records()] == [1, 1]
    (folder / MARK_NAME).unlink()
    teach(again)
    assert [entry.id for entry in again.history()] == [1, 2]


def test_a_journal_that_is_gone_is_not_a_new_one(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    teach(journal, 2)
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(StateError, match="is gone, which had come to commit 2"), journal.writing():
        pytest.fail("it must not be entered")
    assert not (tmp_path / FILE_NAME).exists()


def test_a_file_that_was_replaced_while_it_was_open_is_opened_anew(tmp_path: Path) -> None:
    """Without this the next correction would go to a file that has no name any more."""
    folder = tmp_path / "state"
    journal, first = open_journal(folder), None
    teach(journal)
    first = journal.stamp()
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=lambda _, names: [name for name in names if name.endswith("-shm")])
    shutil.rmtree(folder)
    os.rename(copy, folder)
    assert journal.stamp() != first
    teach(journal)
    journal.close()
    assert len(open_journal(folder).history()) == 2


def test_a_journal_of_another_state(tmp_path: Path) -> None:
    for name in ("one", "other"):
        journal = open_journal(tmp_path / name)
        teach(journal, 2)
        journal.close()
    shutil.copy(tmp_path / "one" / FILE_NAME, tmp_path / "other" / FILE_NAME)
    with pytest.raises(StateError, match="it is of another state"):
        open_journal(tmp_path / "other").records()


@pytest.mark.parametrize("content", ["", "abc", "a b c", "0123456789abcdef 7 0000000000000000\n", "é 1 2", "x" * 500])
def test_a_torn_mark_says_nothing(tmp_path: Path, content: str) -> None:
    journal = open_journal(tmp_path)
    teach(journal)
    (tmp_path / MARK_NAME).write_text(content)
    assert read_mark(tmp_path) is None
    assert mark_fault(None, None, tmp_path) is None
    assert len(open_journal(tmp_path).records()) == 1
    teach(journal)
    mark = read_mark(tmp_path)
    assert mark is not None
    assert mark.commits == 2


def test_a_flipped_bit_is_no_other_number(tmp_path: Path) -> None:
    write_mark(tmp_path, "00ff", 17)
    assert read_mark(tmp_path) == Mark("00ff", 17)
    content = (tmp_path / MARK_NAME).read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            (tmp_path / MARK_NAME).write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            assert read_mark(tmp_path) in (None, Mark("00ff", 17))


def test_where_it_cannot_be_written_the_correction_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    journal = open_journal(tmp_path)
    monkeypatch.setattr(os, "replace", refuse)
    teach(journal)
    assert read_mark(tmp_path) is None
    assert not list(tmp_path.glob(f".{MARK_NAME}*"))
    assert len(journal.records()) == 1
