"""The contract test of an engine: run it on your own, with any artifact, and mend what fails.

    from edge_agent.engines.conformance import check_engine
    assert not [clause for clause in check_engine(artifact, "my-engine") if not clause.holds]

The oracle is numpy in float64. `edge-agent check-engine NAME` runs the same test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.engines import open_engine
from edge_agent.engines.contract import Batch, FloatArray, HeadEngine

__all__ = ["TOLERANCE", "Clause", "Oracle", "a_batch", "check_engine"]

TOLERANCE = 1e-5
"""Greatest relative difference from the oracle."""
NOT_IN_USE = np.float32(-1e4)
DoubleArray = NDArray[np.float64]


@dataclass(frozen=True)
class Clause:
    """One clause of the contract.

    Attributes:
        name: what is asked for.
        holds: whether the engine does it.
        detail: what was found.
    """

    name: str
    holds: bool
    detail: str


class Oracle:
    """The contract in numpy and float64: what every engine is compared with, and the shortest example of one."""

    name = "oracle"

    def __init__(self, artifact: Artifact, provider: str = "") -> None:
        """Take the number of classes from the artifact; the provider does not matter to numpy."""
        self._classes = artifact.manifest.classes + artifact.manifest.spare_classes
        self.reset(1)

    @property
    def shape(self) -> tuple[int, int]:
        """`(C, R)` of the parameter."""
        classes, rows = self._parameter.shape
        return classes, rows

    def reset(self, rows: int) -> None:
        """Set the parameter to zero."""
        self._parameter: DoubleArray = np.zeros((self._classes, rows))

    def step(self, batch: Batch, learning_rate: float) -> FloatArray:
        """One step against the gradient of the loss; the logits after it."""
        kernel, base, targets = (array.astype(np.float64) for array in (batch.kernel, batch.base_logits, batch.targets))
        logits = base + kernel @ self._parameter.T
        exponential = np.exp(logits - logits.max(1, keepdims=True))
        error = (exponential / exponential.sum(1, keepdims=True) - targets) * batch.weights[:, None]
        self._parameter -= learning_rate * error.T @ kernel
        return np.asarray(base + kernel @ self._parameter.T, np.float32)

    def coefficients(self) -> FloatArray:
        """A copy of the parameter."""
        return self._parameter.astype(np.float32)


def check_engine(artifact: Artifact, name: str) -> tuple[Clause, ...]:
    """Run every clause of the contract on an engine.

    Args:
        artifact: opened; any will do.
        name: the name under which the engine is built in or registered, or "auto".

    Returns:
        The clauses; the engine conforms when all hold. A clause that raises does not hold.

    Raises:
        RuntimeUnavailable: the engine is unknown or cannot be had here.
        ArtifactError: the engine refuses the artifact.
    """
    engine, _ = open_engine(artifact, name)
    clauses: list[tuple[str, Callable[[HeadEngine, Artifact], str]]] = [
        ("starts from zero, with room for the rows asked for", _starts_from_zero),
        ("one step equals the oracle's", _one_step),
        ("fifty steps with changing weights equal the oracle's", _fifty_steps),
        ("one row and as many as the capacity are possible", _sizes),
        ("rows of weight zero teach nothing", _weights),
        ("a class that is not in use learns nothing", _unused),
        ("the same batches give the same bytes", _deterministic),
        ("what was returned stays as it is, and is the caller's", _returned),
        ("the batch stays as it is", _batch_untouched),
        ("another batch takes effect at once", _next_batch),
    ]
    fault = "" if name in ("auto", engine.name) else f"it is called {engine.name!r}"
    named = Clause("the engine has the name under which it is selected", not fault, fault or "as it should be")
    return (named, *(_judged(clause, test, engine, artifact) for clause, test in clauses))


def a_batch(artifact: Artifact, rows: int, width: int, seed: int = 0) -> Batch:
    """A batch like those of a solve: a triangle of kernel features, padded to the engine's width; spare classes are not in use."""
    rng, (used, classes) = np.random.default_rng(seed), _classes(artifact)
    points = rng.normal(size=(rows, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    kernel = np.zeros((rows, width), np.float32)
    kernel[:, :rows] = np.linalg.cholesky(np.maximum(points @ points.T, 0) ** 3 + np.eye(rows))
    base = np.full((rows, classes), NOT_IN_USE, np.float32)
    base[:, :used] = rng.normal(scale=3, size=(rows, used))
    targets = np.zeros((rows, classes), np.float32)
    targets[np.arange(rows), rng.integers(0, used, rows)] = 1
    return Batch(kernel, base, targets, np.ones(rows, np.float32))


def _judged(name: str, test: Callable[[HeadEngine, Artifact], str], engine: HeadEngine, artifact: Artifact) -> Clause:
    try:
        fault = test(engine, artifact)
    except Exception as error:  # another's code: whatever it raises, the clause does not hold
        fault = f"{type(error).__name__}: {error}"
    return Clause(name, not fault, fault or "as it should be")


def _classes(artifact: Artifact) -> tuple[int, int]:
    used = artifact.manifest.classes
    return used, used + artifact.manifest.spare_classes


def _fresh(engine: HeadEngine, artifact: Artifact, rows: int, seed: int = 0) -> Batch:
    engine.reset(rows)
    return a_batch(artifact, rows, engine.shape[1], seed)


def _compared(engine: HeadEngine, artifact: Artifact, batch: Batch, rounds: int) -> Iterator[str]:
    """Step beside the oracle; a sentence for each difference."""
    oracle, rng = Oracle(artifact), np.random.default_rng(1)
    oracle.reset(engine.shape[1])
    for step in range(rounds):
        if step:
            batch.weights[:] = rng.integers(0, 2, len(batch.weights))
        rate = float(rng.uniform(0.02, 0.3))
        logits, expected = engine.step(batch, rate), oracle.step(batch, rate)
        yield _difference(f"logits after step {step + 1}", logits, expected, batch.base_logits > NOT_IN_USE / 2)
    yield _difference("the coefficients", engine.coefficients(), oracle.coefficients(), None)


def _difference(what: str, found: FloatArray, expected: FloatArray, where: NDArray[np.bool_] | None) -> str:
    if found.shape != expected.shape or found.dtype != np.float32:
        return f"{what}: {found.dtype} {found.shape}, expected float32 {expected.shape}"
    chosen = np.ones(expected.shape, np.bool_) if where is None else where
    scale = float(np.abs(expected[chosen]).max(initial=1e-30))
    worst = float(np.abs(found[chosen] - expected[chosen]).max(initial=0)) / scale
    return f"{what}: relative difference {worst:.1e}, expected at most {TOLERANCE:.0e}" if not worst <= TOLERANCE else ""


def _first(faults: Iterator[str]) -> str:
    return next((fault for fault in faults if fault), "")


def _starts_from_zero(engine: HeadEngine, artifact: Artifact) -> str:
    for rows in (artifact.manifest.capacity, 3):
        batch = _fresh(engine, artifact, rows)
        engine.step(batch, 0.1)
        engine.reset(rows)
        found, (classes, room) = engine.coefficients(), engine.shape
        if classes != _classes(artifact)[1] or room < rows or found.shape != (classes, room) or found.dtype != np.float32:
            return f"after reset({rows}): shape {engine.shape}, coefficients {found.dtype} {found.shape}"
        if found.any():
            return f"after reset({rows}) the parameter is not zero"
    return ""


def _one_step(engine: HeadEngine, artifact: Artifact) -> str:
    return _first(_compared(engine, artifact, _fresh(engine, artifact, 5), 1))


def _fifty_steps(engine: HeadEngine, artifact: Artifact) -> str:
    return _first(_compared(engine, artifact, _fresh(engine, artifact, min(20, artifact.manifest.capacity)), 50))


def _sizes(engine: HeadEngine, artifact: Artifact) -> str:
    for rows in (1, artifact.manifest.capacity, 2):
        fault = _first(_compared(engine, artifact, _fresh(engine, artifact, rows), 3))
        if fault:
            return f"{rows} rows: {fault}"
    return ""


def _weights(engine: HeadEngine, artifact: Artifact) -> str:
    batch = _fresh(engine, artifact, 4)
    engine.step(batch, 0.1)
    before = engine.coefficients()
    batch.weights[:] = 0
    engine.step(batch, 0.1)
    return "" if np.array_equal(before, engine.coefficients()) else "a step with all weights zero changes the parameter"


def _unused(engine: HeadEngine, artifact: Artifact) -> str:
    batch = _fresh(engine, artifact, 4)
    for _ in range(10):
        engine.step(batch, 0.1)
    learned = np.abs(engine.coefficients()[_classes(artifact)[0] :]).max(initial=0)
    return "" if learned <= 1e-30 else f"a coefficient of an unused class is {learned:.1e}"


def _deterministic(engine: HeadEngine, artifact: Artifact) -> str:
    found = set()
    for _ in range(3):
        batch = _fresh(engine, artifact, 6)
        logits = [engine.step(batch, 0.1).tobytes() for _ in range(5)]
        found.add((engine.coefficients().tobytes(), *logits))
    return "" if len(found) == 1 else f"three runs gave {len(found)} different results"


def _returned(engine: HeadEngine, artifact: Artifact) -> str:
    batch = _fresh(engine, artifact, 4)
    logits, coefficients = engine.step(batch, 0.1), engine.coefficients()
    kept = logits.copy(), coefficients.copy()
    engine.step(batch, 0.1)
    after = engine.coefficients()
    if not np.array_equal(logits, kept[0]) or not np.array_equal(coefficients, kept[1]):
        return "a later step changed what an earlier one returned"
    coefficients[:] = 7
    return "" if np.array_equal(after, engine.coefficients()) else "writing into the copy changed the parameter"


def _batch_untouched(engine: HeadEngine, artifact: Artifact) -> str:
    batch = _fresh(engine, artifact, 4)
    names = ("kernel", "base_logits", "targets", "weights")
    before = [getattr(batch, name).tobytes() for name in names]
    engine.step(batch, 0.1)
    changed = [name for name, old in zip(names, before, strict=True) if getattr(batch, name).tobytes() != old]
    return f"the step changed {', '.join(changed)}" if changed else ""


def _next_batch(engine: HeadEngine, artifact: Artifact) -> str:
    batch = _fresh(engine, artifact, 4)
    oracle = Oracle(artifact)
    oracle.reset(engine.shape[1])
    other = replace(a_batch(artifact, 4, engine.shape[1], seed=9), weights=np.array([1, 0, 1, 1], np.float32))
    for each in (batch, other, batch):
        logits, expected = engine.step(each, 0.1), oracle.step(each, 0.1)
        fault = _difference("logits", logits, expected, each.base_logits > NOT_IN_USE / 2)
        if fault:
            return fault
    return _difference("the coefficients", engine.coefficients(), oracle.coefficients(), None)
