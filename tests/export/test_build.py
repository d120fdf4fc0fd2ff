"""The whole way on a small scale, and once on the real weights where they lie beside the checkout."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest
import torch

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, InputError
from export.build import BuildReport, build
from export.plan import BuildPlan
from export.source import Overrides
from export.verify import verify

SHARED = Path(__file__).parents[3] / "shared/data"


@pytest.fixture(scope="module")
def plan(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildPlan:
    output = tmp_path_factory.mktemp("built") / "squeezenet"
    return BuildPlan("squeezenet1_1", "none", None, photos, output, Overrides(input_size_px=32), spare_classes=2)


@pytest.fixture(scope="module")
def report(plan: BuildPlan) -> BuildReport:
    seen: list[tuple[str, int, int]] = []
    found = build(plan, lambda *call: seen.append(call))
    stages = list(dict.fromkeys(stage for stage, _, _ in seen))
    assert stages[0] == "reading pictures" and stages[-1] == "parity"
    for stage in stages:
        last = [call for call in seen if call[0] == stage][-1]
        assert last[1] == last[2], f"{stage} does not end at its end"
    return found


def test_report(report: BuildReport, plan: BuildPlan) -> None:
    assert report.output == plan.output and report.unreadable == () and report.elapsed_s > 0
    assert Artifact.open(plan.output).manifest == report.manifest
    assert report.manifest.model.name == "squeezenet1_1" and report.manifest.model.last_layer_kind == "other"
    assert any("random" in warning for warning in report.manifest.statistics.warnings)


def test_what_was_built_verifies(report: BuildReport) -> None:
    assert len(verify(report.output).checks) == 6


def test_overwriting_gives_the_same_bytes(report: BuildReport, plan: BuildPlan) -> None:
    before = {path.name: path.read_bytes() for path in plan.output.rglob("*") if path.is_file()}
    build(dataclasses.replace(plan, overwrite=True), lambda *_: None)
    assert {path.name: path.read_bytes() for path in plan.output.rglob("*") if path.is_file()} == before
    assert [path.name for path in plan.output.parent.iterdir()] == ["squeezenet"], "nothing is left beside it"


def test_failed_parity_deletes_what_was_written(plan: BuildPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.parity.LOGIT_TOLERANCE", -1.0)
    with pytest.raises(ArtifactError, match=r"parity: logits of PyTorch and backbone.onnx differ"):
        build(dataclasses.replace(plan, output=tmp_path / "deep" / "out"), lambda *_: None)
    assert list((tmp_path / "deep").iterdir()) == []


def test_weights_that_diverged(plan: BuildPlan, tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    state = squeezenet1_1(num_classes=4).state_dict()
    state["features.3.squeeze.weight"][0] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"NaN or Inf in features.3.squeeze.weight"):
        build(dataclasses.replace(plan, weights=str(tmp_path / "w.pth"), output=tmp_path / "out"), lambda *_: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not (SHARED / "cifar10-test.zip").is_file(), reason="../shared/data is not here: no real photos, no trained weights")
def test_trained_network_on_real_photos(tmp_path: Path) -> None:
    with zipfile.ZipFile(SHARED / "cifar10-test.zip") as archive:
        chosen = [name for name in archive.namelist() if name.endswith((".jpg", ".jpeg", ".png"))]
        archive.extractall(tmp_path / "photos", chosen[::10])
    data = next(folder for folder in (tmp_path / "photos", *(tmp_path / "photos").rglob("*")) if len(list(folder.iterdir())) == 10)
    weights = str(SHARED / "mobilenet_v3_small-cifar10-64px.pth")
    plan = BuildPlan("mobilenet_v3_small", weights, None, data, tmp_path / "out", Overrides(input_size_px=64))
    found = build(plan, lambda *_: None)
    manifest = found.manifest
    assert sum(entry.bytes for entry in manifest.files.values()) < 10_000_000
    assert manifest.sentinel.accuracy > 0.7 and manifest.features == 1024 and manifest.directions == 96
    assert manifest.new_class is not None and manifest.new_class.scale > 0
    assert not any("collapsed" in warning for warning in manifest.statistics.warnings)
    assert float(Artifact.open(found.output).statistics.leak[8]) < 0.003, "leak(3)"
