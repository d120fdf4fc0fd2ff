"""Both engines against the contract, and against the same loss in numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_agent.artifact import Artifact
from edge_agent.engines import ENGINES, Batch, HeadEngine, open_engine
from edge_agent.engines import onnxruntime_training as training
from edge_agent.errors import ArtifactError, RuntimeUnavailable

NAMES = [name for name in ENGINES if name != "auto"]
CLASSES, USED = 26, 10


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest, default_artifact: Artifact) -> HeadEngine:
    if request.param == training.NAME and not training.available():
        pytest.skip("this ONNX Runtime was built without training")
    return open_engine(default_artifact, request.param)[0]


def a_batch(rows: int, width: int, seed: int = 0) -> Batch:
    """Rows of random kernel features, soft targets and weights of every size; spare classes are not in use."""
    rng = np.random.default_rng(seed)
    kernel = np.zeros((rows, width), np.float32)
    kernel[:, :rows] = rng.uniform(-0.5, 1, (rows, rows))
    base = np.full((rows, CLASSES), -1e4, np.float32)
    base[:, :USED] = rng.normal(0, 3, (rows, USED))
    targets = np.zeros((rows, CLASSES), np.float32)
    targets[:, :USED] = rng.dirichlet(np.ones(USED), rows)
    return Batch(kernel, base, targets, rng.uniform(0, 2, rows).astype(np.float32))


class InNumpy:
    """The same steps in float64."""

    def __init__(self, width: int) -> None:
        self.coefficients = np.zeros((CLASSES, width))

    def step(self, batch: Batch, rate: float) -> np.ndarray:
        kernel, base = batch.kernel.astype(np.float64), batch.base_logits.astype(np.float64)
        logits = base + kernel @ self.coefficients.T
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        self.coefficients -= rate * ((p - batch.targets) * batch.weights[:, None]).T @ kernel
        return base + kernel @ self.coefficients.T


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found - expected).max() <= 1e-5 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("rows", [1, 3, 12, 64, 65, 256])
def test_numbers_are_numpys(rows: int, engine: HeadEngine) -> None:
    engine.reset(rows)
    batch = a_batch(rows, engine.shape[1], seed=rows)
    expected, rate = InNumpy(engine.shape[1]), 1.0 / rows
    for _ in range(6):
        logits = engine.step(batch, rate)
        assert logits.dtype == np.float32
        assert close(logits[:, :USED], expected.step(batch, rate)[:, :USED])
        assert close(engine.coefficients(), expected.coefficients)


def test_same_bytes_every_time(engine: HeadEngine, default_artifact: Artifact) -> None:
    other = open_engine(default_artifact, engine.name)[0]
    found = set()
    for one in (engine, other, engine):
        one.reset(20)
        batch = a_batch(20, one.shape[1])
        steps = b"".join(one.step(batch, 0.05).tobytes() for _ in range(10))
        found.add(steps + one.coefficients().tobytes())
    assert len(found) == 1


def test_reset_gives_zeros_and_room(engine: HeadEngine) -> None:
    for rows in (5, 200, 1, 70, 5):
        engine.reset(rows)
        classes, width = engine.shape
        assert classes == CLASSES
        assert width >= rows
        assert engine.coefficients().shape == (classes, width)
        assert not engine.coefficients().any()
        engine.step(a_batch(rows, width), 0.1)
        assert engine.coefficients().any()


def test_weights_may_be_switched_in_place(engine: HeadEngine) -> None:
    engine.reset(8)
    batch, expected, rng = a_batch(8, engine.shape[1]), InNumpy(engine.shape[1]), np.random.default_rng(3)
    for _ in range(12):
        batch.weights[:] = rng.integers(0, 2, 8)
        engine.step(batch, 0.1)
        expected.step(batch, 0.1)
        assert close(engine.coefficients(), expected.coefficients)
    batch.weights[:] = 0
    before = engine.coefficients()
    engine.step(batch, 0.1)
    assert np.array_equal(engine.coefficients(), before), "nobody teaches, nothing is learned"


def test_learning_rate_may_change(engine: HeadEngine) -> None:
    engine.reset(4)
    batch, expected = a_batch(4, engine.shape[1]), InNumpy(engine.shape[1])
    for rate in (0.5, 0.01, 0.25, 0.0):
        engine.step(batch, rate)
        expected.step(batch, rate)
        assert close(engine.coefficients(), expected.coefficients)


def test_another_batch_takes_effect_at_once(engine: HeadEngine) -> None:
    engine.reset(4)
    first, expected = a_batch(4, engine.shape[1]), InNumpy(engine.shape[1])
    second = replace(a_batch(4, engine.shape[1], seed=1))
    for batch in (first, second, first):
        assert close(engine.step(batch, 0.1)[:, :USED], expected.step(batch, 0.1)[:, :USED])


def test_coefficients_are_a_copy(engine: HeadEngine) -> None:
    engine.reset(3)
    engine.step(a_batch(3, engine.shape[1]), 0.1)
    copy = engine.coefficients()
    kept = copy.copy()
    copy[:] = 7
    assert np.array_equal(engine.coefficients(), kept)
    engine.step(a_batch(3, engine.shape[1]), 0.1)
    assert not np.array_equal(engine.coefficients(), kept)


def test_class_that_is_not_in_use_learns_nothing(engine: HeadEngine) -> None:
    engine.reset(5)
    for _ in range(20):
        engine.step(a_batch(5, engine.shape[1]), 0.2)
    assert np.abs(engine.coefficients()[USED:]).max() < 1e-30


def test_gradient_is_that_of_the_loss(engine: HeadEngine) -> None:
    """Finite differences of the loss itself, in a few random directions."""
    engine.reset(6)
    batch, rng = a_batch(6, engine.shape[1]), np.random.default_rng(0)

    def loss(coefficients: np.ndarray) -> float:
        logits = batch.base_logits.astype(np.float64) + batch.kernel @ coefficients.T
        top = logits.max(1, keepdims=True)
        log_p = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
        return float(-(batch.weights * (batch.targets * log_p).sum(1)).sum())

    engine.step(batch, 1.0)
    gradient = -engine.coefficients().astype(np.float64)
    for _ in range(5):
        direction = rng.normal(size=gradient.shape)
        slope = (loss(1e-5 * direction) - loss(-1e-5 * direction)) / 2e-5
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-5)


@pytest.mark.skipif(not training.available(), reason="this ONNX Runtime was built without training")
def test_two_engines_agree(default_artifact: Artifact) -> None:
    engines = [open_engine(default_artifact, name)[0] for name in NAMES]
    found: list[np.ndarray] = []
    for engine in engines:
        engine.reset(30)
        batch = a_batch(30, engine.shape[1])
        for _ in range(40):
            engine.step(batch, 0.02)
        found.append(engine.coefficients()[:, :30])
    assert close(found[0], found[1])


class TestChoice:
    def test_unknown_name_lists_what_there_is(self, default_artifact: Artifact) -> None:
        with pytest.raises(RuntimeUnavailable, match="'torch' is not known") as caught:
            open_engine(default_artifact, "torch")
        assert all(name in caught.value.hint for name in ENGINES)

    def test_auto_takes_the_one_that_can_train(self, default_artifact: Artifact) -> None:
        engine, reason = open_engine(default_artifact, "auto")
        assert engine.name == (training.NAME if training.available() else "portable")
        assert reason

    def test_auto_without_training_takes_portable(self, default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
        self.without_training(monkeypatch)
        assert not training.available()
        engine, reason = open_engine(default_artifact, "auto")
        assert engine.name == "portable"
        assert "without training" in reason

    def test_engine_that_was_asked_for_is_never_replaced(self, default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
        self.without_training(monkeypatch)
        with pytest.raises(RuntimeUnavailable, match="without training") as caught:
            open_engine(default_artifact, training.NAME)
        assert "--engine portable" in caught.value.hint

    @staticmethod
    def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
        from edge_agent.ort import import_onnxruntime

        import_onnxruntime()
        from onnxruntime.capi import _pybind_state as native

        for name in ("Module", "load_checkpoint"):
            monkeypatch.delattr(native, name, raising=False)

    @pytest.mark.parametrize("name", NAMES)
    def test_files_that_the_runtime_refuses(self, name: str, default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
        if name == training.NAME and not training.available():
            pytest.skip("this ONNX Runtime was built without training")
        monkeypatch.setattr(Artifact, "read", lambda *_: b"nonsense")
        with pytest.raises(ArtifactError, match="ONNX Runtime refuses") as caught:
            open_engine(default_artifact, name)
        assert "\n" not in str(caught.value)

    @pytest.mark.skipif(not training.available(), reason="this ONNX Runtime was built without training")
    def test_bytes_reach_the_runtime_without_memfd(self, default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
        import os

        expected = self.one_step(open_engine(default_artifact, training.NAME)[0])
        monkeypatch.delattr(os, "memfd_create", raising=False)
        assert np.array_equal(self.one_step(open_engine(default_artifact, training.NAME)[0]), expected)

    @staticmethod
    def one_step(engine: HeadEngine) -> Any:
        engine.reset(3)
        return engine.step(a_batch(3, engine.shape[1]), 0.1)
