"""Work under supervision: in a child where the process is light, in a thread where it is not; both end in time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from on_device import ROOT, in_fresh_process

from edge_agent.errors import InputError, RuntimeUnavailable
from edge_agent.supervised import supervised

CHILD = """
import os, signal, sys, time
from edge_agent.errors import EdgeAgentError, InputError
from edge_agent.supervised import supervised
mine = os.getpid()

def work(note):
    note("first")
    note("second")
    {body}

try:
    print("result", supervised(work, {timeout}))
except EdgeAgentError as error:
    print(type(error).__name__, error)
"""


def said(body: str, timeout: float = 20) -> str:
    return in_fresh_process(CHILD.format(body=body, timeout=timeout)).strip()


def test_the_work_is_done_in_a_child() -> None:
    assert said("return os.getpid() != mine, 'x' * 1_000_000 == ''") == "result (True, False)"


def test_an_error_of_ours_arrives_with_its_hint() -> None:
    assert said("raise InputError('what', 'do this')") == "InputError what; hint: do this"


def test_what_hangs_is_ended() -> None:
    started = time.monotonic()
    assert said("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); time.sleep(60)", 0.3).startswith(
        "RuntimeUnavailable timed out after 0.3 s, at second"
    )
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL, at second"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV, at second"),
        ("sys.exit(7)", "ended with 0, at second"),
        ("return lambda: 0", "ended with 0, at second"),
    ],
)
def test_a_death_is_named(body: str, words: str) -> None:
    assert words in said(body)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_a_signal_to_the_parent_ends_both() -> None:
    code = CHILD.format(body="print('ready', os.getpid(), flush=True); time.sleep(60)", timeout=60)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline().split()[1])
    process.terminate()
    assert "it was stopped by SIGTERM" in process.communicate(timeout=20)[0]
    for _ in range(200):
        if not alive(child):
            return
        time.sleep(0.02)
    pytest.fail("the child lives on")


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text("ascii").split()[2] != "Z"
    except OSError:
        return False


def test_in_a_heavy_process_a_thread_does_it() -> None:
    assert supervised(lambda note: threading.current_thread() is not threading.main_thread(), 20)


def test_a_thread_hands_over_errors() -> None:
    def work(note: object) -> None:
        raise InputError("what", "do this")

    with pytest.raises(InputError, match="what; hint: do this"):
        supervised(work, 20)


def test_a_thread_that_hangs_is_left_behind() -> None:
    release = threading.Event()

    def work(note: object) -> None:
        note("reading")  # type: ignore[operator]
        release.wait(20)

    with pytest.raises(RuntimeUnavailable, match=r"timed out after 0\.05 s, at reading"):
        supervised(work, 0.05)
    release.set()
