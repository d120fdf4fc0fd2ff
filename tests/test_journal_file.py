"""The SQLite file: creation, migrations, foreign and broken files, read-only and full disks."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from on_device import ROOT, files_below, in_fresh_process, open_journal

from edge_agent import journal_file
from edge_agent.errors import StateBusyError, StateError
from edge_agent.journal_digests import CORRECTION_COLUMNS, GENERATION_COLUMNS, LABEL_COLUMNS, of_values
from edge_agent.journal_file import APPLICATION_ID, FILE_NAME, begin_writing, open_for_reading, open_for_writing, translated_errors
from edge_agent.journal_migrations import MIGRATIONS, Migration

TABLES = {"facts", "labels", "corrections", "pictures", "generations", "waiting", "answers", "pending", "requests"}
OTHER_USER = 65534  # nobody


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state"


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")} - {"sqlite_sequence"}


def make(folder: Path, *labels: str) -> None:
    """A journal with these labels, closed: everything lies in its one file."""
    connection = open_for_writing(folder, 100)
    connection.executemany("INSERT INTO labels (name) VALUES (?)", [(label,) for label in labels])
    connection.close()


def labels_of(connection: sqlite3.Connection | None) -> list[str]:
    assert connection is not None
    return [name for (name,) in connection.execute("SELECT name FROM labels ORDER BY place")]


class TestCreation:
    def test_folder_file_and_tables(self, folder: Path) -> None:
        connection = open_for_writing(folder, 1000)
        assert tables(connection) == TABLES
        assert pragma(connection, "user_version") == len(MIGRATIONS)
        assert pragma(connection, "application_id") == APPLICATION_ID == int.from_bytes(b"EDGA", "big")
        connection.close()
        assert [path.name for path in folder.iterdir()] == [FILE_NAME]

    def test_every_commit_reaches_the_disk(self, folder: Path) -> None:
        connection = open_for_writing(folder, 1234)
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "synchronous") == 2, "FULL"
        assert pragma(connection, "foreign_keys") == 1
        assert pragma(connection, "busy_timeout") == 1234
        assert connection.isolation_level is None
        connection.close()

    def test_new_file_and_its_folder_are_synced(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[str] = []
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.readlink(f"/proc/self/fd/{descriptor}")), real(descriptor)))
        make(folder)
        assert synced == [str(folder), str(folder.parent), str(folder.parent.parent)], "the last one names the folder above, made here too"
        make(folder)
        assert synced[3:] == [str(folder), str(folder.parent)], "who made it may have been killed before it came to this"

    def test_opening_again_changes_nothing(self, folder: Path) -> None:
        make(folder, "newt")
        before = files_below(folder)
        open_for_writing(folder, 100).close()
        assert files_below(folder) == before

    def test_many_create_it_at_once(self, folder: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: open_for_writing(folder, 5000), range(8)))
        assert all(tables(connection) == TABLES for connection in found)
        for connection in found:
            connection.close()

    @pytest.mark.parametrize("left", ["empty", "wal mode"])
    def test_creation_that_was_cut_short_is_finished(self, left: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / FILE_NAME).touch()
        if left == "wal mode":
            connection = sqlite3.connect(folder / FILE_NAME)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
        assert open_for_reading(folder, 100) is None
        journal = open_journal(folder)
        assert journal.history() == []
        with journal.writing() as writer:
            writer.add_label("newt")
        assert journal.added_labels() == ("newt",)

    def test_folder_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(StateError, match="cannot be written") as caught:
                open_for_writing(folder, 100)
            assert "predictions go on" in caught.value.hint
        assert (tmp_path / "file").read_text() == "mine"


def step(statement: str) -> Migration:
    """A migration of one statement."""

    def run(connection: sqlite3.Connection) -> None:
        connection.execute(statement)

    return run


class TestMigrations:
    def test_they_are_numbered_and_each_is_one_transaction(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make(folder, "newt")
        before = files_below(folder)
        halves = step("ALTER TABLE labels ADD COLUMN colour TEXT"), step("CREATE nonsense")
        monkeypatch.setattr(journal_file, "MIGRATIONS", (*MIGRATIONS, *halves))
        with pytest.raises(StateError, match="syntax error"):
            open_for_writing(folder, 100)
        assert files_below(folder) == before, "the half that worked is gone too"
        more = (step("ALTER TABLE labels ADD COLUMN colour TEXT"), step("CREATE TABLE more (a)"))
        monkeypatch.setattr(journal_file, "MIGRATIONS", (*MIGRATIONS, *more))
        connection = open_for_writing(folder, 100)
        assert pragma(connection, "user_version") == len(MIGRATIONS) + 2
        assert connection.execute("SELECT name, colour FROM labels").fetchall() == [("newt", None)]
        assert "more" in tables(connection)
        connection.close()

    def test_reader_brings_an_older_one_up_to_date(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make(folder, "newt")
        monkeypatch.setattr(journal_file, "MIGRATIONS", (*MIGRATIONS, step("CREATE TABLE more (a)")))
        connection = open_for_reading(folder, 100)
        assert labels_of(connection) == ["newt"]
        assert connection is not None
        assert "more" in tables(connection)
        connection.close()

    def test_first_schema_gets_its_digests(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A journal of the first version, as it lies on a device, with a row in each table."""
        monkeypatch.setattr(journal_file, "MIGRATIONS", MIGRATIONS[:1])
        connection = open_for_writing(folder, 100)
        connection.execute("INSERT INTO labels VALUES (0, 'newt')")
        values = "1, 'then', NULL, 'ab', 'newt', 'accepted', 'why', 0, 'cat', 0.5, 'newt', 0.95, 3, '{}', 1, 1, NULL, x'00', 'cd'"
        connection.execute(f"INSERT INTO corrections VALUES ({values})")
        connection.execute("INSERT INTO pictures VALUES (1, x'01', 'ef')")
        connection.execute("INSERT INTO generations VALUES (1, 'then', 'correct', x'02', '01')")
        connection.close()
        monkeypatch.setattr(journal_file, "MIGRATIONS", MIGRATIONS)
        connection = open_for_writing(folder, 100)
        for table, columns in (("labels", LABEL_COLUMNS), ("corrections", CORRECTION_COLUMNS), ("generations", GENERATION_COLUMNS)):
            ((*row, sealed),) = connection.execute(f"SELECT {', '.join(columns)}, row_sha256 FROM {table}").fetchall()
            assert of_values(tuple(row)) == sealed
        assert connection.execute("SELECT picture_sha256 FROM corrections").fetchall() == [("ef",)]
        assert connection.execute("SELECT labels FROM generations").fetchall() == [('["newt"]',)]
        connection.close()

    @pytest.mark.parametrize("lost", ["user_version=0", "the tables"])
    def test_a_schema_that_lost_a_part_is_not_an_empty_journal(self, lost: str, folder: Path) -> None:
        make(folder, "newt")
        connection = sqlite3.connect(folder / FILE_NAME)
        connection.execute("PRAGMA user_version=0") if "=" in lost else connection.execute("PRAGMA writable_schema=1")
        if "=" not in lost:
            connection.execute("DELETE FROM sqlite_master")
            connection.commit()
        connection.close()
        for opener in (open_for_reading, open_for_writing):
            with pytest.raises(StateError, match="is damaged: its schema has lost"):
                opener(folder, 100)

    @pytest.mark.parametrize("opener", [open_for_reading, open_for_writing])
    def test_newer_version_is_refused_and_unchanged(self, opener, folder: Path) -> None:  # type: ignore[no-untyped-def]
        make(folder)
        connection = sqlite3.connect(folder / FILE_NAME)
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
        connection.close()
        before = files_below(folder)
        words = rf"newer edge-agent \(version {len(MIGRATIONS) + 1}, this program knows {len(MIGRATIONS)}\)"
        with pytest.raises(StateError, match=words) as caught:
            opener(folder, 100)
        assert caught.value.hint == "update edge-agent"
        assert files_below(folder) == before


def text_file(path: Path) -> None:
    path.write_text("my shopping list\n" * 100)


def other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.commit()
    connection.close()


def other_application(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id=1196444487")
    connection.close()


@pytest.mark.parametrize("opener", [open_for_reading, open_for_writing])
@pytest.mark.parametrize("writer", [text_file, other_database, other_application])
def test_foreign_file_is_refused_and_unchanged(writer, opener, folder: Path) -> None:  # type: ignore[no-untyped-def]
    folder.mkdir(parents=True)
    writer(folder / FILE_NAME)
    before = files_below(folder)
    with pytest.raises(StateError, match=r"is not a journal of edge-agent|file is not a database") as caught:
        opener(folder, 100)
    assert caught.value.hint
    assert files_below(folder) == before


class TestReading:
    def test_nothing_there_creates_nothing(self, folder: Path) -> None:
        assert open_for_reading(folder, 100) is None
        assert not folder.parent.exists()

    def test_reader_cannot_write(self, folder: Path) -> None:
        make(folder)
        connection = open_for_reading(folder, 100)
        assert connection is not None
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("INSERT INTO labels (place, name) VALUES (0, 'newt')")
        connection.close()

    @pytest.mark.parametrize("name", ["with space", "100%", "a?b#c", "ümlaut", "a&mode=rwc"])
    def test_any_folder_name(self, name: str, tmp_path: Path) -> None:
        make(tmp_path / name, "newt")
        connection = open_for_reading(tmp_path / name, 100)
        assert labels_of(connection) == ["newt"]
        assert connection is not None
        connection.close()
        assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name != "home"] == [name]

    def test_log_that_a_killed_process_left_is_read(self, folder: Path) -> None:
        die_writing(folder, "newt")
        assert (folder / f"{FILE_NAME}-wal").stat().st_size > 0
        connection = open_for_reading(folder, 100)
        assert labels_of(connection) == ["newt"]
        assert connection is not None
        connection.close()


def die_writing(folder: Path, label: str) -> None:
    """A process commits a label and is killed before it can tidy up."""
    code = """
import os, sys
from pathlib import Path
from edge_agent.journal_file import open_for_writing
connection = open_for_writing(Path(sys.argv[1]), 100)
connection.execute("INSERT INTO labels (name) VALUES (?)", sys.argv[2:])
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(folder), label], cwd=ROOT, check=False)
    assert killed.returncode == -9


def allowed(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_namespace = pytest.mark.skipif(
    not allowed("unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"),
    reason="mounting needs rights that this user has not",
)


def mounted(command: str) -> list[str]:
    """The start of a command line that sees a mount of its own."""
    return ["unshare", "--mount", "sh", "-c", f'{command} && exec "$@"', "-"]


READ = """
import sys
from pathlib import Path
from edge_agent.errors import StateError
from edge_agent.journal_file import open_for_reading, open_for_writing
folder = Path(sys.argv[1])
connection = open_for_reading(folder, 100)
print([name for (name,) in connection.execute("SELECT name FROM labels ORDER BY place")])
try:
    open_for_writing(folder, 100)
except StateError as error:
    print(error)
"""


class TestReadOnly:
    @needs_namespace
    @pytest.mark.parametrize("log", ["no log", "a log"])
    def test_disk(self, log: str, folder: Path) -> None:
        make(folder, "newt")
        if log == "a log":
            connection = open_for_writing(folder, 100)
            connection.execute("INSERT INTO labels (name) VALUES ('axolotl')")
            copy = {name: (folder / name).read_bytes() for name in (FILE_NAME, f"{FILE_NAME}-wal")}
            connection.close()
            for name, data in copy.items():
                (folder / name).write_bytes(data)
        before = files_below(folder)
        read_only = mounted(f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}"')
        labels, refusal = in_fresh_process(READ, str(folder), prefix=read_only).splitlines()
        assert labels == ("['newt', 'axolotl']" if log == "a log" else "['newt']")
        assert refusal.startswith(f"the state {folder} cannot be written: ")
        assert "predictions go on" in refusal
        assert files_below(folder) == before

    @pytest.mark.parametrize("log", [False, True], ids=["no log", "a log"])
    def test_reader_that_can_have_no_index(self, log: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the test above does with a mount, where there are no rights for one."""
        make(folder, "newt")
        if log:
            die_writing(folder, "axolotl")
        before, real = files_below(folder), journal_file.checked

        def refuse(location: str, wait_ms: int, state: Path) -> sqlite3.Connection:
            if location.endswith("mode=ro"):
                raise sqlite3.OperationalError("unable to open database file")
            return real(location, wait_ms, state)

        monkeypatch.setattr(journal_file, "checked", refuse)
        connection = open_for_reading(folder, 100)
        assert labels_of(connection) == (["newt", "axolotl"] if log else ["newt"])
        assert connection is not None
        connection.close()
        assert files_below(folder) == before

    def test_locked_file_is_not_read_past_its_owner(self, folder: Path) -> None:
        make(folder, "newt")
        owner = sqlite3.connect(folder / FILE_NAME)
        owner.execute("PRAGMA locking_mode=EXCLUSIVE")
        owner.execute("INSERT INTO labels (name) VALUES ('axolotl')")
        with pytest.raises(StateBusyError, match="in use by this process"):
            open_for_reading(folder, 10)
        owner.close()

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
    def test_folder_of_another_user(self) -> None:
        with tempfile.TemporaryDirectory() as top:
            if not all(path.stat().st_mode & 0o001 for path in Path(top).parents):
                pytest.skip("nobody may look into this system's folder for temporary files")
            folder = Path(top) / "state"
            make(folder, "newt")
            for path in (Path(top), folder, folder / FILE_NAME):
                path.chmod(0o644 if path.is_file() else 0o755)
            before = files_below(folder)
            # imported before the rights are given up: the packages may lie where the other user may not look
            give_up = f"import os; os.setgroups([]); os.setgid({OTHER_USER}); os.setuid({OTHER_USER})\n"
            labels, refusal = in_fresh_process("import edge_agent.journal_file\n" + give_up + READ, str(folder)).splitlines()
            assert labels == "['newt']"
            assert "cannot be written" in refusal
            assert files_below(folder) == before


@needs_namespace
def test_full_disk_is_named_and_takes_nothing_back(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from on_device import an_entry, open_journal, some_seen
from edge_agent.errors import StateError
journal, written = open_journal(Path(sys.argv[1])), 0
try:
    while written < 1000:
        with journal.writing() as writer:
            writer.add_correction(an_entry(written + 1), some_seen(written), bytes(5000))
        written += 1
except StateError as error:
    print(error)
print(written, len(journal.history()), [record.id for record in journal.records()] == list(range(1, written + 1)))
journal.close()
print(len(open_journal(Path(sys.argv[1])).history()))
"""
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n" + code
    small = mounted(f'mount -t tmpfs -o size=400k none "{tmp_path}"')
    line, counts, again = in_fresh_process(code, str(tmp_path / "state"), prefix=small).splitlines()
    assert line.startswith(f"the disk of the state {tmp_path / 'state'} is full; hint: ")
    written, listed, equal = counts.split()
    assert int(written) > 5
    assert (listed, equal, again) == (written, "True", written)


def test_file_size_limit_is_our_error(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from on_device import an_entry, open_journal, some_seen
from edge_agent.errors import StateError
journal = open_journal(Path(sys.argv[1]))
with journal.writing() as writer:
    writer.add_correction(an_entry(1), some_seen(1), None)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
try:
    with journal.writing() as writer:
        writer.add_correction(an_entry(2), some_seen(2), bytes(200_000))
except StateError as error:
    print(type(error).__name__, "\\n" in str(error))
print([entry.id for entry in journal.history()])
"""
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n" + code
    assert in_fresh_process(code, str(tmp_path / "state")).splitlines() == ["StateError False", "[1]"]


@pytest.mark.parametrize(
    "error, kind, words",
    [
        (sqlite3.OperationalError("database is locked"), StateBusyError, "in use by another process"),
        (sqlite3.OperationalError("database table is locked"), StateBusyError, "in use by another process"),
        (sqlite3.OperationalError("attempt to write a readonly database"), StateError, "cannot be written"),
        (sqlite3.OperationalError("unable to open database file"), StateError, "cannot be written"),
        (sqlite3.OperationalError("database or disk is full"), StateError, "disk of the state .* is full"),
        (sqlite3.DatabaseError("database disk image is malformed"), StateError, "cannot be used: database disk image"),
        (PermissionError(13, "Permission denied"), StateError, "cannot be used: Permission denied"),
        (OSError(5, "Input/output error"), StateError, "cannot be used: Input/output error"),
    ],
)
def test_errors_are_ours(error: Exception, kind: type[StateError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught, translated_errors(Path("state")):
        raise error
    assert type(caught.value) is kind
    assert caught.value.hint
    assert caught.value.__cause__ is None


def test_other_exceptions_pass() -> None:
    with pytest.raises(ZeroDivisionError), translated_errors(Path("state")):
        raise ZeroDivisionError


def test_every_opening_for_writing_forces_the_names_of_the_state_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced, real = list[str](), os.fsync

    def fsync(descriptor: int) -> None:
        forced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = tmp_path / "new" / "newer" / "state"
    open_for_writing(folder, 0).close()
    assert set(forced) == {str(place) for place in (folder, folder.parent, tmp_path / "new", tmp_path)}
    forced.clear()
    open_for_writing(folder, 0).close()  # who made it may have been killed before it came to this
    assert set(forced) == {str(folder), str(folder.parent)}


def test_a_writer_that_waits_looks_often_and_no_longer_than_it_may(folder: Path) -> None:
    make(folder, "newt")
    holder, waiting = open_for_writing(folder, 0), open_for_writing(folder, 777)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        begin_writing(waiting, started + 0.1)
    assert 0.1 <= time.monotonic() - started < 1
    assert pragma(waiting, "busy_timeout") == 777, "what else waits, waits as before"
    assert not waiting.in_transaction
    release = threading.Timer(0.05, holder.execute, ["ROLLBACK"])
    release.start()
    begin_writing(waiting, time.monotonic() + 10)
    assert waiting.in_transaction
    release.join()
    assert pragma(waiting, "busy_timeout") == 777
    waiting.execute("ROLLBACK")
    for connection in (holder, waiting):
        connection.close()


def test_text_that_is_no_text_is_damage() -> None:
    with pytest.raises(StateError, match="text in it is no text any more"), translated_errors(Path("state")):
        b"\xff".decode()


@pytest.mark.parametrize(("text", "passes"), [("disk I/O error", True), ("database or disk is full", True), ("malformed", False)])
def test_what_may_pass_is_told_from_what_was_found(text: str, passes: bool) -> None:
    with pytest.raises(StateError) as caught, translated_errors(Path("state")):
        raise sqlite3.DatabaseError(text)
    assert caught.value.may_pass is passes
