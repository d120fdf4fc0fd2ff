from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from export_samples import Sample
from onnx import numpy_helper

from edge_agent.errors import ArtifactError
from export import parity
from export.backbone_graph import Backbone
from export.parity import HeadShape, accept, compare
from export.statistics import ContextMap

HEAD = HeadShape(3, 256)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def labels() -> np.ndarray:
    return np.arange(20) % 4


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "artifact")


def changed(path: Path, name: str, factor: float) -> None:
    """Multiply one initializer of a graph."""
    model = onnx.load(path)
    found = next(tensor for tensor in model.graph.initializer if tensor.name.endswith(name))
    found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) * np.float32(factor), found.name))
    onnx.save(model, path)


def test_sound_artifact(sample: Sample, built: Path, images: np.ndarray, labels: np.ndarray) -> None:
    found = compare(sample[1].network.module, sample[2].backbone, built, images, labels, HEAD)
    assert found.logits < 1e-5 and found.context < 1e-5 and found.gradient < 1e-6 and found.pictures == 20


def test_changed_weights_are_found(sample: Sample, copied: Path, images: np.ndarray, labels: np.ndarray) -> None:
    changed(copied / "backbone.onnx", "head.3.weight", 1.01)
    with pytest.raises(ArtifactError, match=r"parity: logits of PyTorch and backbone.onnx differ by 0\.\d+, at most 0.0001"):
        compare(sample[1].network.module, sample[2].backbone, copied, images, labels, HEAD)


def test_changed_context_is_found(sample: Sample, copied: Path, images: np.ndarray, labels: np.ndarray) -> None:
    changed(copied / "backbone.onnx", "mean", 1.5)
    with pytest.raises(ArtifactError, match=r"parity: contexts of PyTorch and backbone.onnx differ"):
        compare(sample[1].network.module, sample[2].backbone, copied, images, labels, HEAD)


def test_wrong_trace_is_found(sample: Sample, built: Path, images: np.ndarray, labels: np.ndarray) -> None:
    other = torch.nn.Sequential(sample[1].network.module, torch.nn.Softplus()).eval()
    with pytest.raises(ArtifactError, match="logits of PyTorch"):
        compare(other, sample[2].backbone, built, images, labels, HEAD)


def test_other_first_label_is_found_even_within_the_tolerance(copied: Path, sample: Sample, labels: np.ndarray) -> None:
    class Tie(torch.nn.Module):
        """Differs from the network by less than the tolerance, yet prefers another label of a tie."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = sample[1].network.module(image) * 0
            return logits + torch.tensor([0.0, 1e-5, 0.0, 0.0])

    frozen = sample[2].backbone
    uncalibrated = Backbone(frozen.network, 1.0, ContextMap(frozen.mean.numpy(), frozen.matrix.numpy()))
    images = np.zeros((3, 3, 32, 32), np.float32)
    changed(copied / "backbone.onnx", "head.3.weight", 0)
    changed(copied / "backbone.onnx", "head.3.bias", 0)
    with pytest.raises(ArtifactError, match=r"first label of PyTorch and backbone.onnx differs on 3 of 3 pictures"):
        compare(Tie(), uncalibrated, copied, images, labels[:3], HEAD)


@pytest.mark.parametrize(("file", "found"), [("portable/step.onnx", "portable/step.onnx"), ("training/training_model.onnx", "training/")])
def test_changed_steps_are_found(file: str, found: str, sample: Sample, copied: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """A softmax over the pictures in place of the classes."""
    model = onnx.load(copied / file)
    axes = [a for node in model.graph.node if "LogSoftmax" in node.op_type for a in node.attribute if a.name == "axis"]
    for axis in axes:
        axis.i = 0
    onnx.save(model, copied / file)
    with pytest.raises(ArtifactError, match=f"parity: gradient steps of PyTorch and {found} differ"):
        compare(sample[1].network.module, sample[2].backbone, copied, images, labels, HEAD)


def test_limits_of_acceptance() -> None:
    assert accept("things", 0.5, 0.5) == 0.5
    for difference in (0.6, float("inf"), float("nan")):
        with pytest.raises(ArtifactError, match="parity: things differ by") as caught:
            accept("things", difference, 0.5)
        assert caught.value.exit_code == 66 and caught.value.hint


def test_arrays_of_other_shapes_never_agree() -> None:
    assert parity._absolute(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)) == float("inf")
