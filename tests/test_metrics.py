"""Prometheus reads what is written: valid text, base units, the state as a metric."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS

from edge_agent import cli
from edge_agent.agent import EdgeAgent
from edge_agent.errors import InputError
from edge_agent.health_settings import MEASURES, HealthSettings
from edge_agent.metrics import exposition, write_textfile

parser = pytest.importorskip("prometheus_client.parser")
COUNTED = {"corrections_accepted", "corrections_already_correct", "corrections_refused"}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    agent = EdgeAgent.open(ARTIFACT, tmp_path_factory.mktemp("metrics") / "state")
    first = agent.correct(PHOTOS[0], TRUTHS[0], force=True)
    agent.correct(PHOTOS[1], TRUTHS[1], force=True)
    agent.undo(first.id)
    return exposition(agent.health(HealthSettings(deep=True)))


@pytest.fixture(scope="module")
def families(text: str) -> dict[str, Any]:
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def value(families: dict[str, Any], name: str, **labels: str) -> float:
    samples = [sample for family in families.values() for sample in family.samples]
    return next(sample.value for sample in samples if (sample.name, sample.labels) == (name, labels))


def test_what_is_said(families: dict[str, Any]) -> None:
    assert value(families, "edge_agent_health_status") == 0
    assert value(families, "edge_agent_check_status", check="golden") == 0
    assert value(families, "edge_agent_corrections_total", verdict="accepted") == 2
    assert value(families, "edge_agent_corrections_total", verdict="refused") == 0
    assert value(families, "edge_agent_corrections_undone_total") == 1
    assert value(families, "edge_agent_corrections_active") == 1
    assert 0.5 < value(families, "edge_agent_sentinel_accuracy_ratio") <= 1
    assert 0 < value(families, "edge_agent_latency_p95_seconds") < 60
    info = families["edge_agent_info"].samples[0]
    assert info.value == 1
    assert info.labels["model"] == "mobilenet_v3_small"


def test_every_measure_is_there_with_its_unit(text: str) -> None:
    suffixes = {"s": "_seconds", "B": "_bytes", "c": "_total"}
    names = {line.split(" ")[0].split("{")[0] for line in text.splitlines() if not line.startswith("#")}
    for spec in MEASURES.values():
        if spec.name not in COUNTED | {"runtime_start"}:  # a running agent has started long ago
            assert f"edge_agent_{spec.name}{'_ratio' if spec.ratio else suffixes.get(spec.unit, '')}" in names


def test_names_and_types_keep_the_conventions(families: dict[str, Any]) -> None:
    for family in families.values():
        assert family.name.startswith("edge_agent_")
        assert family.documentation.endswith(".")
        assert family.type in ("gauge", "counter")
        assert (family.type == "counter") == all(sample.name.endswith("_total") for sample in family.samples)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say(text: str) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_broken_artifact_is_a_metric_not_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--artifact", str(tmp_path / "none"), "metrics"]) == 0
    said = capsys.readouterr().out
    assert 'edge_agent_check_status{check="artifact"} 2.0' in said
    assert "edge_agent_health_status 2.0" in said
    assert "sentinel_accuracy" not in said


def test_json_has_the_same_samples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["metrics", "--checks", "disk,clock", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"name": "edge_agent_check_status", "labels": {"check": "clock"}, "value": 0.0} in lines
    assert next(line["value"] for line in lines if line["name"] == "edge_agent_disk_free_bytes") > 0


def test_textfile_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path, moved = tmp_path / "edge.prom", []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (moved.append(Path(source)), replace(source, target)))
    assert cli.run(["metrics", "--checks", "disk", "--textfile", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert "edge_agent_disk_free_bytes" in path.read_text("utf-8")
    assert path.stat().st_mode & 0o777 == 0o644
    assert [source.parent for source in moved] == [tmp_path]
    assert moved[0].suffix != ".prom", "the collector would read it"
    assert list(tmp_path.glob("*.prom*")) + list(tmp_path.glob(".*")) == [path]


def test_a_textfile_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file"):
        write_textfile(tmp_path / "none" / "edge.prom", "x")

    def broken(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(InputError, match="No space left"):
        write_textfile(tmp_path / "edge.prom", "x")
    assert not list(tmp_path.glob("*edge*")) + list(tmp_path.glob(".*"))


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert cli.run(["metrics", "--checks", "disk"]) == 69
    assert "pip install 'onnx-edge-agent[metrics]'" in capsys.readouterr().err


def test_a_wrong_option_is_64() -> None:
    assert cli.run(["metrics", "--checks", "nonsense"]) == 64
