from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings

import pytest

from export.quiet import quiet


def test_everything_inside_is_silent(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        print("printed")
        print("printed", file=sys.stderr)
        os.write(2, b"written by compiled code\n")
        logging.getLogger("torch.onnx").warning("logged")
        warnings.warn("warned", stacklevel=1)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""
    assert not caplog.records


def test_everything_outside_is_heard_again(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        pass
    print("printed", file=sys.stderr)
    os.write(2, b"written\n")
    logging.getLogger("mine").warning("logged")
    assert "written" in capfd.readouterr().err
    assert [record.message for record in caplog.records] == ["logged"]
    with pytest.warns(UserWarning, match="warned"):
        warnings.warn("warned", stacklevel=1)


def test_exception_passes_and_streams_return(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="mine"), quiet():
        raise ValueError("mine")
    os.write(2, b"written\n")
    assert capfd.readouterr().err == "written\n"
    assert logging.root.manager.disable == 0


def test_one_inside_another(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        with quiet():
            os.write(2, b"inner\n")
        os.write(2, b"outer\n")
    assert capfd.readouterr().err == ""


def test_process_without_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(descriptor: int) -> int:
        raise OSError(f"{descriptor} is closed")

    monkeypatch.setattr(os, "dup", closed)
    with quiet():
        print("still runs")


def test_leaves_no_descriptor_open() -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc here")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with quiet():
            pass
    ctypes.pythonapi.PyErr_CheckSignals()
    assert len(os.listdir("/proc/self/fd")) == before
