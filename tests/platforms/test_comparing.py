"""The platform checks themselves: what they would say of a device that answers otherwise; the devices are behind make targets."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

import aarch64
import matrix
import pytest
import size
from comparing import MINIMAL, ROOT, CommandError, Device, differences, run, table

from edge_agent.engines import onnxruntime_training


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return Device((sys.executable,), {**os.environ, "PYTHONPATH": str(ROOT)}).check("--engine", "portable")


def test_a_device_answers_as_itself(reference: dict[str, Any]) -> None:
    assert reference["engine"] == "portable"
    assert differences(reference, reference) == ([], 0.0)
    assert {answer["label"] for answer in reference["after"]} != {answer["label"] for answer in reference["before"]}


@pytest.mark.skipif(not onnxruntime_training.available(), reason="this ONNX Runtime was built without training")
def test_the_other_engine_gives_the_same_answers(reference: dict[str, Any]) -> None:
    other = Device((sys.executable,), {**os.environ, "PYTHONPATH": str(ROOT)}).check("--engine", "onnxruntime-training")
    faults, worst = differences(reference, other)
    assert (faults, other["engine"]) == ([], "onnxruntime-training")
    assert worst < 1e-5


def test_every_difference_is_named(reference: dict[str, Any]) -> None:
    other = copy.deepcopy(reference)
    other["before"][0]["label"] = "nothing"
    label = next(iter(other["after"][1]["top"]))
    other["after"][1]["top"][label] += 2e-4
    other.update(verdicts=[], undone_exactly=False, exported_difference=0.1, stderr="warning")
    other["health"] = {"status": "CRITICAL", "exit_code": 2}
    faults, worst = differences(reference, other)
    assert worst == pytest.approx(2e-4)
    for part in ("photo 0: nothing", "differs by 2.0e-04", "verdicts", "undoing", "exported", "CRITICAL", "stderr: warning"):
        assert any(part in fault for fault in faults), part


def test_commands_that_fail_are_told_in_one_line() -> None:
    with pytest.raises(CommandError, match="exited with 3: boom"):
        run([sys.executable, "-c", "import sys; sys.exit((print('boom', file=sys.stderr), 3)[1])"])
    with pytest.raises(CommandError, match="No such file"):
        run(["/nowhere/command"])
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_rows_of_the_matrix(tmp_path: Path) -> None:
    rows = list(matrix.rows({"3.11": "python3.11"}, gpu=True))
    assert [row.runtime for row in rows if row.python == "3.13"] == ["onnxruntime==1.20.0", "onnxruntime"]
    assert sum("training-cpu" in row.runtime for row in rows) == 2
    assert sum(row.cuda for row in rows) == 2
    line, fine = matrix.tried(next(row for row in rows if not row.interpreter), tmp_path, {}, tmp_path)
    assert fine and line[-1] == "not installed here"
    assert set(matrix.interpreters()) <= set(matrix.VERSIONS)


def test_no_emulator_is_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(aarch64.shutil, "which", lambda name: None)
    monkeypatch.setattr(aarch64.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(sys, "argv", ["aarch64.py", "--folder", str(tmp_path)])
    aarch64.main()
    assert capsys.readouterr().out.startswith("skipped: qemu-aarch64-static is not installed")


def test_packages_that_cannot_be_had_are_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_network(command: list[str], environment: object = None) -> None:
        raise CommandError("apt-get exited with 100: Could not resolve host")

    monkeypatch.setattr(aarch64, "run", no_network)
    with pytest.raises(aarch64.CannotBeHadError, match="python3-minimal for arm64: apt-get exited with 100"):
        aarch64.fetched(["python3-minimal"], "arm64", tmp_path)


def test_size_counts_what_is_there(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "a").mkdir(parents=True)
    (site / "a/x.so").write_bytes(b"0" * 3_000_000)
    (site / "a/y.pyc").write_bytes(b"0" * 1_000_000)
    assert (size.size_mb(site, True), size.size_mb(site, False)) == (4.0, 3.0)
    assert size.measured("[x]", site) == ("[x]", "4", "3", "a 3")


def test_the_minimal_set_is_pinned_and_holds_what_the_device_imports() -> None:
    lines = [line.split(";")[0].strip() for line in MINIMAL.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines)
    assert {line.split("==")[0] for line in lines} == {
        "click", "numpy", "onnxruntime", "pillow", "rich", "safetensors", "threadpoolctl", "tomli",
    }  # fmt: skip
