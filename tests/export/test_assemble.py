from __future__ import annotations

import dataclasses
import json
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from export_samples import LABELS, SPEC, Sample, plan_for, prepared_for, silent, small_network, write_artifact, write_photos
from safetensors.numpy import load_file
from torch import Tensor, nn

from edge_agent.artifact import Artifact
from edge_agent.manifest import Manifest
from export import assemble
from export.assemble import capacity_for, half, linear_layer
from export.fit import fit
from export.weights import state_digest


@pytest.fixture(scope="module")
def artifact(built: Path) -> Artifact:
    return Artifact.open(built)


@pytest.mark.parametrize(("classes", "capacity"), [(2, 256), (50, 256), (51, 128), (500, 128), (501, 64), (1000, 64)])
def test_capacity_follows_the_classes(classes: int, capacity: int) -> None:
    assert capacity_for(classes) == capacity


def test_manifest_says_what_was_built(artifact: Artifact, sample: Sample) -> None:
    manifest, network = artifact.manifest, sample[1].network
    assert (manifest.classes, manifest.spare_classes, manifest.features, manifest.capacity) == (4, 3, 20, 256)
    assert manifest.directions == sample[2].backbone.matrix.shape[1] <= 31
    assert manifest.image == SPEC and artifact.labels == LABELS
    assert manifest.model.weights_sha256 == state_digest(network.module)
    assert (manifest.model.name, manifest.model.parameters) == ("small", network.parameters)
    assert (manifest.model.last_layer, manifest.model.last_layer_kind) == ("head.3", "linear")
    assert manifest.taps == ("add", "second_1")
    assert (manifest.sentinel.size, manifest.sentinel.held_out) == (16, True)
    assert (manifest.statistics.pictures, manifest.statistics.unreadable) == (32, 0)
    assert manifest.golden.count == 8 and manifest.parity.pictures == 48
    assert manifest.parity.logits < 1e-4 and manifest.parity.context < 1e-4 and manifest.parity.gradient < 1e-5
    assert manifest.producer.torch.startswith(torch.__version__.split("+")[0])


def test_files_are_those_of_the_format(artifact: Artifact) -> None:
    assert set(artifact.manifest.files) == {
        "labels.txt", "backbone.onnx", "statistics.safetensors", "last_layer.safetensors", "portable/step.onnx", "README.md",
        *(f"golden/{number:02d}.png" for number in range(8)),
        *(f"training/{name}" for name in ("training_model.onnx", "eval_model.onnx", "optimizer_model.onnx", "checkpoint", "checkpoint-64")),
    }  # fmt: skip


def test_statistics_are_calibrated(artifact: Artifact, sample: Sample, built: Path) -> None:
    kept, fitted = artifact.statistics, sample[2]
    layer, divisor = sample[1].network.module.head[3], artifact.manifest.temperature
    assert np.allclose(kept.mean_row, layer.weight.mean(0) / divisor, atol=1e-5)
    assert np.allclose(kept.feature_mean, fitted.features.mean(0), atol=1e-5)
    own = load_file(built / "last_layer.safetensors")
    assert np.array_equal(own["weight"], layer.weight) and np.array_equal(own["bias"], layer.bias)
    rebuilt = (kept.sentinel_features @ own["weight"].T + own["bias"]) / divisor
    assert np.allclose(rebuilt, kept.sentinel_logits, atol=0.02), "the features are kept in float16"
    assert artifact.manifest.new_class is not None
    assert artifact.manifest.new_class.bias == pytest.approx(float(layer.bias.mean()) / divisor, abs=1e-6)


def test_few_pictures_are_a_warning(artifact: Artifact) -> None:
    assert any("the context rests on 32 pictures" in warning for warning in artifact.manifest.statistics.warnings)


def test_nothing_of_the_workstation_in_any_file(built: Path, photos: Path) -> None:
    secrets = [str(photos), str(built.parent), str(Path.home()), str(Path.cwd()), "site-packages", "export_samples", platform.node()]
    for path in built.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for secret in filter(lambda text: len(text) > 3, secrets):
            assert secret.encode() not in content, f"{path.name} holds {secret}"


def test_the_same_input_gives_the_same_bytes(sample: Sample, built: Path, tmp_path: Path) -> None:
    again = write_artifact(sample, tmp_path / "again")
    assert (again / "manifest.json").read_bytes() == (built / "manifest.json").read_bytes()


def test_hundreds_of_labels_with_one_picture_each(tmp_path: Path) -> None:
    labels = tuple(f"label {number:03d}" for number in range(501))
    root = write_photos(tmp_path / "data", 1, labels)
    plan, prepared = dataclasses.replace(plan_for(root, tmp_path), limit=5000), prepared_for(root, small_network(501), labels)
    found = Artifact.open(write_artifact((plan, prepared, fit(plan, prepared, silent)), tmp_path / "out")).manifest
    assert (found.classes, found.capacity, found.sentinel.size, found.statistics.pictures) == (501, 64, 500, 501)
    assert not found.sentinel.held_out and any("sentinel pictures serve as statistics" in text for text in found.statistics.warnings)
    assert not any(name.startswith("training/checkpoint-") for name in found.files), "the whole is as small as the small one"


class Convolution(nn.Module):
    """Ends with a 1×1 convolution and pooling, as squeezenet does."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU())
        self.last = nn.Conv2d(12, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.last(self.second(self.first(image))).mean((2, 3))
        return result


def test_last_layer_that_is_no_linear_one(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan = plan_for(photos, tmp_path / "out")
    prepared = prepared_for(photos, Convolution().eval().requires_grad_(False))
    folder = write_artifact((plan, prepared, fit(plan, prepared, silent)), tmp_path / "out")
    found = Artifact.open(folder)
    assert found.manifest.model.last_layer_kind == "other" and found.manifest.features == 12
    assert found.manifest.new_class is None and not found.statistics.mean_row.any()
    assert "last_layer.safetensors" not in found.manifest.files
    assert json.loads((folder / "manifest.json").read_text())["new_class"] is None


def test_last_layer_without_bias() -> None:
    network = small_network()
    network.head[3] = nn.Linear(20, 4, bias=False)
    layer = linear_layer(network, "head.3", "linear")
    assert layer is not None and not layer.bias.any() and layer.bias.shape == (4,)
    assert linear_layer(network, "head.3", "other") is None


def test_half_floats_stay_finite() -> None:
    found = half(np.array([1e9, -1e9, 0.5], np.float32))
    assert np.isfinite(found).all() and found[2] == 0.5


def test_manifest_survives_its_own_reading(built: Path) -> None:
    data = (built / "manifest.json").read_bytes()
    assert Manifest.from_bytes(data).to_bytes() == data


def test_versions_are_known() -> None:
    found = assemble.producer()
    assert all((found.edge_agent, found.torch, found.torchvision, found.onnx, found.onnxruntime))
