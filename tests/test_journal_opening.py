"""Who is not the journal's owner reads it without leaving a trace, and sees what is committed meanwhile."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from on_device import an_entry, in_fresh_process, open_journal, some_seen

from edge_agent import journal_opening
from edge_agent.journal import Journal
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_mark import MARK_NAME

OTHER_USER = 65534  # nobody
only_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")


def teach(journal: Journal) -> None:
    with journal.writing() as writer:
        number = writer.next_correction()
        writer.add_correction(an_entry(number), some_seen(number), None)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


@only_root
def test_another_user_in_a_folder_that_all_may_write(tmp_path: Path) -> None:
    """Without this SQLite would make a log and an index of theirs there, and the owner could write no more."""
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "state"
        journal = open_journal(folder)
        teach(journal)
        journal.close()
        Path(top).chmod(0o755)
        folder.chmod(0o777)
        (folder / FILE_NAME).chmod(0o666)
        code = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from on_device import open_journal
os.setgroups([]); os.setgid({OTHER_USER}); os.setuid({OTHER_USER})
journal = open_journal(Path(sys.argv[1]))
print(len(journal.history()), len(journal.records()), journal.stamp() == journal.stamp())
os._exit(0)  # as if it were killed
"""
        for count in (1, 2):
            code_ran = in_fresh_process(code.replace("os._exit", "sys.stdout.flush(); os._exit"), str(folder))
            assert code_ran.split() == [str(count), str(count), "True"]
            if count == 1:
                assert files(folder) == {FILE_NAME, MARK_NAME}
                teach(journal)  # open from here on: the second look is beside a live process
        journal.close()


@only_root
def test_what_root_creates_in_a_folder_belongs_to_its_owner() -> None:
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "state"
        folder.mkdir()
        os.chown(folder, OTHER_USER, OTHER_USER)
        journal = open_journal(folder)
        teach(journal)
        assert {name: os.stat(folder / name).st_uid for name in files(folder) if name.startswith(FILE_NAME)} == dict.fromkeys(
            (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"), OTHER_USER
        )
        journal.close()


def test_a_reader_that_stays_sees_what_the_owner_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, reader = open_journal(tmp_path), open_journal(tmp_path)
    teach(owner)
    monkeypatch.setattr(journal_opening, "is_own", lambda folder: False)
    assert len(reader.history()) == 1
    teach_as_owner(owner, monkeypatch)
    assert len(reader.history()) == 2
    reader.close()
    with_owner(owner.close, monkeypatch)
    before = files(tmp_path)
    assert len(reader.history()) == 2
    first = reader.stamp()
    assert reader.stamp() == first
    teach_as_owner(owner, monkeypatch)
    assert reader.stamp() != first
    assert len(reader.history()) == 3
    reader.close()
    with_owner(owner.close, monkeypatch)
    assert files(tmp_path) == before == {FILE_NAME, MARK_NAME}
    assert stat.S_ISREG((tmp_path / FILE_NAME).stat().st_mode)


def with_owner(act: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(journal_opening, "is_own", lambda folder: True)
        act()  # type: ignore[operator]


def teach_as_owner(owner: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    with_owner(lambda: teach(owner), monkeypatch)
