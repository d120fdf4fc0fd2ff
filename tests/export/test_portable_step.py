from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from test_head_graph import case

from export import clean, written
from export.head_graph import Head
from export.portable_step import write_step
from export.signatures import STEP_INPUTS, STEP_OUTPUTS


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("step") / "portable" / "step.onnx"
    write_step(Head(9, 100), path)
    return path


def test_standard_operators_only(file: Path) -> None:
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert {node.domain for node in model.graph.node} == {""} and model.ir_version <= 10 and clean.fault(model) is None
    assert tuple(value.name for value in model.graph.input) == STEP_INPUTS
    assert tuple(value.name for value in model.graph.output) == STEP_OUTPUTS


@pytest.mark.parametrize("count", [1, 2, 7, 16])
@pytest.mark.parametrize("capacity", [16, 64, 100], ids=lambda n: f"R={n}")
def test_steps_are_those_of_numpy(count: int, capacity: int, file: Path) -> None:
    steps = case(capacity, count)
    found = written.portable_steps(file, steps)
    assert found.coefficients.shape == (9, capacity)
    assert found.difference(written.numpy_steps(steps)) < 1e-6


def test_loss_falls_and_is_that_before_the_step(file: Path) -> None:
    import onnxruntime

    steps = case(100)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs = {"kernel": steps.kernel, "base_logits": steps.base_logits, "targets": steps.targets, "weights": steps.weights}
    coefficients, losses = np.zeros((9, 100), np.float32), []
    for _ in range(12):
        feed = {**inputs, "learning_rate": np.array(0.2, np.float32), "coefficients": coefficients}
        loss, coefficients, logits = session.run(None, feed)
        losses.append(float(loss))
    start = steps.base_logits - np.log(np.exp(steps.base_logits).sum(1, keepdims=True))
    assert losses[0] == pytest.approx(float(-(steps.targets * start).sum(1) @ steps.weights), rel=1e-4)
    assert (np.diff(losses) < 0).all()
    assert np.abs(logits - (steps.base_logits + steps.kernel @ coefficients.T)).max() < 1e-3


def test_same_head_same_bytes_and_nothing_of_the_workstation(file: Path, tmp_path: Path) -> None:
    write_step(Head(9, 100), tmp_path / "again.onnx")
    content = file.read_bytes()
    assert content == (tmp_path / "again.onnx").read_bytes()
    assert str(Path.cwd()).encode() not in content and b"portable_step" not in content
