"""Who holds the state: named by the kernel, and forgotten with its process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from on_device import ROOT, an_entry, open_journal, some_seen

from edge_agent import journal_holder
from edge_agent.errors import StateBusyError
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_holder import holder_of

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="this system does not list its locks in /proc/locks")
HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with open_journal(tmp_path).writing() as writer:
        writer.add_correction(an_entry(1), some_seen(1), None)
    command = [sys.executable, "-c", HOLD, str(tmp_path / FILE_NAME), "--name", "the other one"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_error_names_process_and_command_until_it_is_killed(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    journal = open_journal(tmp_path, wait_ms=50)
    with pytest.raises(StateBusyError) as caught, journal.writing():
        pytest.fail("it must not be entered")
    assert f"is in use by process {holder.pid} ({sys.executable} -c" in caught.value.message
    since = re.search(r", running since (\S+Z)$", caught.value.message)
    assert since is not None
    started = datetime.fromisoformat(since[1].replace("Z", "+00:00"))
    assert abs((datetime.now(timezone.utc) - started).total_seconds()) < 120, "it started in this test"
    assert len(journal.records()) == 1, "readers do not wait"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert "let go" in holder_of(tmp_path / FILE_NAME)
    with journal.writing() as writer:
        writer.add_label("newt")


def test_a_long_command_is_cut_and_cannot_play_tricks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"evil\x1b[2J\n" + b"x" * 500)
    named = journal_holder._named(1)
    assert named.startswith("process 1 (evil?[2J?xxx")
    assert named.endswith("x…)")
    assert len(named) < 150


@pytest.mark.parametrize(
    ("line", "pid"),
    [
        ("1: POSIX  ADVISORY  WRITE 15082 fe:00:77 120 120", 15082),
        ("1: POSIX  ADVISORY  WRITE 15082 fe:00:78 120 120", 0),
        ("2: POSIX  ADVISORY  READ 15082 fe:00:77 124 124", 0),
        ("5: FLOCK  ADVISORY  WRITE 14935 fe:00:77 0 EOF", 0),
        ("6: -> POSIX  ADVISORY  WRITE 14938 fe:00:77 120 120", 0),
        ("7: OFDLCK ADVISORY  WRITE -1 fe:00:77 0 EOF", 0),
        ("", 0),
        ("a b c d e f g h", 0),
    ],
)
def test_lines_of_the_list(line: str, pid: int) -> None:
    assert journal_holder._writer(line, {77}) == pid


def test_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(journal_holder, "_LOCKS", str(tmp_path / "none"))
    assert holder_of(tmp_path / FILE_NAME) == "another process"


def test_another_thread_is_named(tmp_path: Path) -> None:
    import threading

    journal, found = open_journal(tmp_path, wait_ms=50), []

    def late() -> None:
        try:
            with journal.writing():
                pytest.fail("it must not be entered")
        except StateBusyError as error:
            found.append(error.message)

    with journal.writing():
        thread = threading.Thread(target=late)
        thread.start()
        thread.join(10)
    (message,) = found
    said = rf"the state {re.escape(str(tmp_path))} is in use by this process \({os.getpid()}\), in another thread, for (\d+\.\d) s"
    since = re.fullmatch(said, message)
    assert since is not None
    assert 0 < float(since[1]) < 10
