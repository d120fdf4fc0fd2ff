"""Work under supervision: it ends in time, and whatever becomes of it, the one who asked gets an answer.

Where that is possible the work runs in a child process: a library that hangs while it holds Python's lock, crashes, or is killed for want
of memory then costs an answer, never the exit code.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, TypeVar, cast

from edge_agent.errors import RuntimeUnavailable

Result = TypeVar("Result")
Work = Callable[[Callable[[str], None]], Result]
_GRACE_S = 1.0


def supervised(work: Work[Result], timeout_s: float) -> Result:
    """Do the work, for so long and no longer.

    Args:
        work: is given a function to say what it is about to do; what it returns or raises must survive pickle.
        timeout_s: how long it may take.

    Returns:
        What the work returned; what it raised is raised here.

    Raises:
        RuntimeUnavailable: it took too long, or its process died; the message says at what.
    """
    heavy = {"numpy", "onnxruntime"} & set(sys.modules)  # their threads would not live on in a child
    if hasattr(os, "fork") and not heavy and threading.active_count() == 1:
        return _in_child(work, timeout_s)
    return _in_thread(work, timeout_s)


def _in_child(work: Work[Result], timeout_s: float) -> Result:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _work_and_exit(work, timeout_s, writing)
    os.close(writing)
    handlers = [(number, signal.signal(number, _stopped)) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        heard = _read_all(reading, time.monotonic() + timeout_s)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(reading)
        for number, handler in handlers:
            signal.signal(number, handler)
    said, in_time = heard
    steps, _, answer = said.partition(b"\0")
    step = (steps.decode().split() or ["the start"])[-1]
    if not in_time:
        os.kill(child, signal.SIGKILL)  # and no wait for it: it may hang in the kernel, on a disk that does not answer
        raise _late(timeout_s, step)
    status = os.waitpid(child, 0)[1]
    if not answer:
        raise _died(status, step)
    return cast(Result, _delivered(pickle.loads(answer)))


def _work_and_exit(work: Work[object], timeout_s: float, pipe: int) -> NoReturn:
    """The child's whole life; nothing of the parent's is run or flushed at its end."""
    try:
        gc.disable()  # a short life, most of it imports
        signal.setitimer(signal.ITIMER_REAL, timeout_s + _GRACE_S)  # it does not outlive a parent that was killed
        answer = _answer(work, lambda step: _write(pipe, f"{step}\n".encode()))
        _write(pipe, b"\0" + pickle.dumps(answer))
    finally:
        os._exit(0)


def _in_thread(work: Work[Result], timeout_s: float) -> Result:
    steps, answers = ["the start"], []
    thread = threading.Thread(target=lambda: answers.append(_answer(work, steps.append)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not answers:
        raise _late(timeout_s, steps[-1])
    return cast(Result, _delivered(answers[0]))


def _answer(work: Work[object], note: Callable[[str], None]) -> tuple[bool, Any]:
    try:
        return True, work(note)
    except Exception as error:
        return False, error


def _delivered(answer: tuple[bool, Any]) -> Any:
    done, value = answer
    if not done:
        raise value
    return value


def _read_all(pipe: int, deadline: float) -> tuple[bytes, bool]:
    """What was said until the other end closed or the time was up, and whether it closed in time."""
    said = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return said, False
        part = os.read(pipe, 65536)
        if not part:
            return said, True
        said += part


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def _stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise RuntimeUnavailable(f"it was stopped by {signal.Signals(number).name}", "start it again")


def _late(timeout_s: float, step: str) -> RuntimeUnavailable:
    return RuntimeUnavailable(f"timed out after {timeout_s:g} s, at {step}", "raise --timeout, or --skip what takes so long")


def _died(status: int, step: str) -> RuntimeUnavailable:
    number = os.waitstatus_to_exitcode(status)
    how = f"was killed by {signal.Signals(-number).name}" if number < 0 else f"ended with {number}"
    return RuntimeUnavailable(f"the process of the checks {how}, at {step}", "look at the kernel's log: memory, or a library that crashes")
