from __future__ import annotations

import dataclasses
import os
import pty
import select
import sys
from pathlib import Path

import pytest

from edge_agent.artifact import Artifact
from export import printing
from export.build import BuildReport
from export.catalogue import Network
from export.verify import verify


@pytest.fixture
def report(built: Path) -> BuildReport:
    return BuildReport(built, Artifact.open(built).manifest, (), 12.4)


def test_build_in_a_pipe(report: BuildReport, capsys: pytest.CaptureFixture[str]) -> None:
    printing.show_build(report)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    for expected in (
        "backbone.onnx",
        "golden/07.png",
        "temperature",
        "last layer head.3 (linear)",
        "logits ",
        "the device needs",
        "in 12 s",
    ):
        assert expected in text
    assert text.count("warning: ") == len(report.manifest.statistics.warnings) > 0


def test_names_that_look_like_markup(report: BuildReport, capsys: pytest.CaptureFixture[str]) -> None:
    statistics = dataclasses.replace(report.manifest.statistics, warnings=("labels [red]x[/red] are rough",))
    printing.show_build(dataclasses.replace(report, manifest=dataclasses.replace(report.manifest, statistics=statistics)))
    assert "warning: labels [red]x[/red] are rough" in capsys.readouterr().out


def test_sentinel_that_was_not_held_out_is_told(report: BuildReport) -> None:
    shared = dataclasses.replace(report.manifest, sentinel=dataclasses.replace(report.manifest.sentinel, held_out=False))
    assert "not held out" in printing.build_facts(shared)["sentinel"]
    assert "not held out" not in printing.build_facts(report.manifest)["sentinel"]


def test_verify_in_a_pipe(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printing.show_verify(verify(built))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and all(line.startswith("ok ") for line in lines[1:])
    assert "accepted 1.0e-05" in lines[-1]


def test_networks_are_shown_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    def stream():  # type: ignore[no-untyped-def]
        yield Network("alexnet", 61_100_840, "classifier.6", "linear", 4096, 224)
        assert "61,100,840" in capsys.readouterr().out
        yield Network("vit_h_14", 633_470_440, "heads.head", "linear", 1280, 518)

    printing.show_networks(stream())
    assert capsys.readouterr().out.split() == ["vit_h_14", "633,470,440", "heads.head", "linear", "1280", "518", "px"]


def test_memory_is_that_of_the_measured_networks(report: BuildReport) -> None:
    def with_backbone(size: int) -> float:
        files = {**report.manifest.files, "backbone.onnx": dataclasses.replace(report.manifest.files["backbone.onnx"], bytes=size)}
        return printing.memory_bytes(dataclasses.replace(report.manifest, files=files)) / 1e6

    for size, measured in ((6_694_285, 101), (45_093_523, 234), (16_851_962, 136), (111_755_975, 416), (343_730_541, 1125)):
        assert with_backbone(size) == pytest.approx(measured, rel=0.1)


def test_progress_in_a_pipe_is_a_line_for_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with printing.progress_on_stderr() as show:
        for done in range(4):
            show("reading", done, 3)
        show("writing", 1, 2)
    captured = capsys.readouterr()
    assert captured.err == "reading: 3\n" and captured.out == ""


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with printing.progress_on_stderr() as show:
            for done in range(4):
                show("reading", done, 3)
        shown = ""
        while select.select([ours], [], [], 0.2)[0]:
            shown += os.read(ours, 65536).decode()
    os.close(ours)
    assert "reading" in shown and "3/3" in shown and "\x1b[" in shown
