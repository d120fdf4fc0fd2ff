from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import ArtifactError, RuntimeUnavailable
from export import written
from export.parity import torch_steps
from export.written import StepCase, Stepped, WrittenBackbone, greatest_difference, numpy_steps, step_case


def made_up(seed: int, count: int, rows: int, capacity: int, steps: int) -> StepCase:
    rng = np.random.default_rng(seed)
    kernel = np.abs(rng.normal(0, 0.4, (count, capacity))).astype(np.float32)
    targets = rng.dirichlet(np.ones(rows), count).astype(np.float32)
    base, weights = rng.normal(0, 2, (count, rows)).astype(np.float32), rng.uniform(0, 2, count).astype(np.float32)
    return StepCase(kernel, base, targets, weights, 0.1, steps)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(2, 7), st.integers(1, 9), st.integers(0, 4))
def test_formula_of_the_gradient_is_that_of_pytorch(seed: int, count: int, rows: int, capacity: int, steps: int) -> None:
    case = made_up(seed, count, rows, capacity, steps)
    assert numpy_steps(case).difference(torch_steps(case)) < 1e-5


def test_no_steps_leave_zero() -> None:
    found = numpy_steps(made_up(0, 3, 4, 5, 0))
    assert not found.coefficients.any()


def test_differences() -> None:
    ones, one = np.ones((2, 2), np.float32), np.float32(1)
    assert greatest_difference(ones, ones) == 0
    assert greatest_difference(ones + one, ones) == 1
    assert greatest_difference(ones * 1010, ones * 1000) == pytest.approx(0.01), "relative above 1"
    assert greatest_difference(ones, ones[0]) == float("inf")
    assert np.isnan(greatest_difference(ones * np.nan, ones))
    assert greatest_difference(ones[:0], ones[:0]) == 0
    assert Stepped(ones, ones).difference(Stepped(ones, ones + one)) == pytest.approx(0.5)


class TestStepCase:
    def test_as_a_device_meets_it(self) -> None:
        context = np.eye(5, dtype=np.float32)
        found = step_case(context, np.zeros((5, 3), np.float32), np.array([0, 1, 2, 0, 1]), 2, 8)
        assert found.kernel.shape == (5, 8) and np.array_equal(found.kernel[:, :5], np.eye(5)) and not found.kernel[:, 5:].any()
        assert (found.base_logits[:, 3:] == written.ABSENT_LOGIT).all()
        assert found.targets.sum(1) == pytest.approx(np.ones(5)) and not found.targets[:, 3:].any()
        assert len(set(found.weights.tolist())) == 5

    def test_no_more_rows_than_there_is_room_for(self) -> None:
        context = np.ones((40, 1), np.float32)
        logits, labels = np.zeros((40, 2), np.float32), np.zeros(40, np.int64)
        assert len(step_case(context, logits, labels, 0, 256).kernel) == 16
        assert len(step_case(context, logits, labels, 0, 3).kernel) == 3


class TestBackbone:
    def test_file_that_is_no_network(self, tmp_path: Path) -> None:
        (tmp_path / "b.onnx").write_bytes(b"nonsense")
        for source in (tmp_path / "b.onnx", b"nonsense"):
            with pytest.raises(ArtifactError, match=r"ONNX Runtime refuses backbone.onnx") as caught:
                WrittenBackbone(source)
            assert "\n" not in str(caught.value)

    def test_pictures_of_another_size(self, built: Path) -> None:
        session = WrittenBackbone((built / "backbone.onnx").read_bytes())
        with pytest.raises(ArtifactError, match=r"backbone.onnx cannot be run"):
            session.run(np.zeros((1, 3, 8, 8), np.float32))


def test_training_files_that_are_damaged(built: Path, tmp_path: Path) -> None:
    case = made_up(0, 2, 7, 256, 1)
    with pytest.raises(ArtifactError, match="refuses the training files"):
        written.training_steps(tmp_path, case)
    assert written.training_steps(built / "training", case).coefficients.shape == (7, 256)


def test_portable_step_that_is_damaged() -> None:
    with pytest.raises(ArtifactError, match=r"refuses portable/step.onnx"):
        written.portable_steps(b"nonsense", made_up(0, 2, 7, 256, 1))


def test_runtime_that_cannot_train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import onnxruntime.capi

    plain = ModuleType("onnxruntime.capi._pybind_state")
    monkeypatch.setitem(sys.modules, "onnxruntime.capi._pybind_state", plain)
    monkeypatch.setattr(onnxruntime.capi, "_pybind_state", plain)
    with pytest.raises(RuntimeUnavailable, match="built without training"):
        written.training_steps(tmp_path, made_up(0, 2, 7, 256, 1))
