"""The learner: the set of corrections becomes a head, by gradient steps through an engine, from zero every time.

The rule:

1. Of two corrections of the same picture the later stands. Past the capacity older ones are merged (`remembering.py`).
2. The kernel is the widest whose leak over the remembered rows stays within the budget: few corrections reach far, many stay local.
3. From A = 0, steps on the rows that are not yet right with enough probability, each as long as the kernel allows, until none is left
   or the rounds are used up; then on, while a row has less than one half: what was taught is at least the first label.

In the engine the step is plain SGD in whitened coordinates: with κ(X, X) = L·Lᵀ, the rows of L as kernel features and Δ = LᵀA as
parameter, the gradient of the loss with respect to Δ is Lᵀ(P − T), and that step on Δ is the step A += (T − P)/s.

The head is a function of the set: rows are put into an order of their own before anything is computed, so the same corrections give
the same bytes whatever the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact, Statistics
from edge_agent.engines.contract import Batch, FloatArray, HeadEngine
from edge_agent.head import NOT_IN_USE, AddedClasses, Evidence, Head, kernel
from edge_agent.new_class import NewClassRule
from edge_agent.remembered_rows import RememberedRows, Rows
from edge_agent.remembering import Memory
from edge_agent.settings import Settings

IndexArray = NDArray[np.int64]
PATIENCE = 3  # times the rounds, while a row has less than one half: pictures of one bad light lie near each other whatever they show
_JITTER = 1e-4  # added to the diagonal of κ(X, X), which near-duplicates make singular
# Probabilities below e^-40 and kernel features below 1e-12 teach nothing, but their products are denormal numbers, which take a processor
# 20 times as long; ONNX Runtime's softmax gives 1e-38 where the logit is −1e4.
_DEPTH = np.float32(40)
_NOTHING = 1e-12
_BLOCK = 64
_MARGIN = 1e-3  # trained a little past the confidence: jitter and float32 must not bring a row below it again
_HALF = np.float32(1 / (0.5 + _MARGIN))  # the odds of a label that may not be the first


@dataclass(frozen=True, eq=False)
class Solution:
    """What a solve found.

    Attributes:
        head: ready to serve.
        steps: gradient steps taken.
        learned: whether every remembered row is right with the confidence asked for.
        rows: what it was solved for; None where nothing is remembered.
    """

    head: Head
    steps: int
    learned: bool
    rows: Rows | None

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What the head's rows stand for, in their order; corrections that are in none are superseded or forgotten."""
        return self.rows.memories if self.rows else ()

    @property
    def acting(self) -> frozenset[int]:
        """Ids of the corrections that act, on their own or merged with others."""
        return frozenset(number for memory in self.memories for number in memory.ids)


class Learner:
    """Solves heads for one artifact with one engine; not for two threads at once."""

    def __init__(self, artifact: Artifact, settings: Settings, engine: HeadEngine) -> None:
        """Take what the rule needs from the artifact.

        Args:
            artifact: opened.
            settings: confidence, rounds, exponents, leak budget, capacity.
            engine: takes the steps.
        """
        manifest, self._settings, self._engine = artifact.manifest, settings, engine
        self._classes, self._features, self._directions = manifest.classes, manifest.features, manifest.directions
        self._capacity = settings.capacity_within(manifest.capacity)
        self._exponents = _exponents(artifact.statistics, settings, self._capacity)
        self._rows = RememberedRows(self._capacity, settings.same_picture, self._directions)
        self._unlearned = AddedClasses.unlearned(0, self._features, self._directions)
        self._new_classes = NewClassRule(artifact)

    def exponent(self, rows: int) -> float:
        """The widest kernel whose leak over so many remembered rows stays within the budget."""
        return self._exponents[min(rows, self._capacity)]

    def solve(self, evidence: Sequence[Evidence], added_labels: int) -> Solution:
        """The head for a set of corrections.

        Args:
            evidence: the active corrections, in any order.
            added_labels: how many classes were added on the device, with or without shots.

        Returns:
            The head, and how it was found.
        """
        if not evidence:
            added = AddedClasses.unlearned(added_labels, self._features, self._directions) if added_labels else self._unlearned
            return Solution(Head.factory(self._classes, self.exponent(0), added), 0, True, None)
        rows = self._rows.of(evidence)
        exponent, contexts, base, added = self.exponent(len(rows.labels)), rows.contexts, rows.logits, self._unlearned
        if added_labels:
            added = self._new_classes.rows(rows.memories, added_labels)
            empty = Head.factory(self._classes, exponent, added)
            base = np.concatenate([empty.base_logits(memory.seen) for memory in rows.memories])
        coefficients, steps, learned = self._descend(kernel(contexts, contexts, exponent), base, rows.labels)
        return Solution(Head(contexts, coefficients, exponent, added), steps, learned, rows)

    def _descend(self, between: FloatArray, base: FloatArray, labels: IndexArray) -> tuple[FloatArray, int, bool]:
        """Gradient steps from zero; returns A `[n, C+P]`, the number of steps, and whether every row is learned."""
        n, columns = base.shape
        factor = _cholesky(between)
        self._engine.reset(n)
        own = np.arange(n) * self._engine.shape[0] + labels  # where in the flat logits each row's right one is
        batch = self._batch(factor, base, own)
        logits, steps, rounds = batch.base_logits, 0, self._settings.rounds
        doubt = _Doubt(between, own, batch, self._settings.confidence + _MARGIN)
        with np.errstate(over="ignore"):  # odds beyond every float are in doubt too
            while (reach := doubt.weigh(logits)) and (steps < rounds or (steps < PATIENCE * rounds and doubt.any_below_half())):
                logits = self._engine.step(batch, 1.0 / reach if reach > 1.0 else 1.0)
                steps += 1
        whitened = self._engine.coefficients()[:columns, :n].T.astype(np.float64)
        coefficients = _unwhitened(factor, whitened)
        return np.ascontiguousarray(coefficients, np.float32), steps, not reach

    def _batch(self, factor: NDArray[np.float64], base: FloatArray, own: IndexArray) -> Batch:
        """The rows as the engine wants them: kernel features padded to the capacity, columns to the spare classes."""
        n, columns = base.shape
        width, rows = self._engine.shape
        features = np.zeros((n, rows), np.float32)
        np.copyto(features[:, :n], factor, casting="same_kind", where=np.abs(factor) > _NOTHING)
        padded = np.full((n, width), NOT_IN_USE, np.float32)
        padded[:, :columns] = base
        kept = padded.take(own)
        np.maximum(padded, np.maximum.reduce(base, 1, keepdims=True) - _DEPTH, out=padded)
        padded.put(own, kept)
        targets = np.zeros((n, width), np.float32)
        targets.put(own, 1)
        return Batch(features, padded, targets, np.ones(n, np.float32))


class _Doubt:
    """Which rows are not yet right with enough probability; few calls and no new arrays, for it is asked at every step of a solve."""

    def __init__(self, between: FloatArray, own: IndexArray, batch: Batch, confidence: float) -> None:
        n, width = batch.base_logits.shape
        self._between, self._weights = between, batch.weights
        self._own, self._least = own, np.array(1 / confidence, np.float32)
        self._ratios, self._ones = np.empty((n, width), np.float32), np.ones(width, np.float32)
        self._odds, self._reach, self._right = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
        self._beside = self._right[:, None]  # a view: one right logit beside each row
        self._doubted, self._last, self._longest = np.empty(n, np.bool_), b"", 0.0

    def weigh(self, logits: FloatArray) -> float:
        """Set the batch's weights: 1 for a row in doubt, else 0; returns the largest row sum of κ[doubt, doubt], 0 when all are learned."""
        logits.take(self._own, None, self._right, "clip")  # "clip": without a copy for the sake of bounds, which hold
        np.subtract(logits, self._beside, self._ratios)
        np.exp(self._ratios, self._ratios)
        # 1/p of the right label; above one half, enough probability also makes it the first label
        self._ratios.dot(self._ones, self._odds)
        np.greater(self._odds, self._least, self._doubted)
        doubted = self._doubted.tobytes()
        if doubted != self._last:  # the same rows as before in two steps of five: then the sums are the same too
            self._last = doubted
            self._weights[:] = self._doubted
            self._between.dot(self._weights, self._reach)
            np.multiply(self._reach, self._weights, self._reach)
            self._longest = self._reach.item(self._reach.argmax())
        return self._longest

    def any_below_half(self) -> bool:
        """Whether a row's right label may not be its first, as weighed last."""
        return bool((self._odds > _HALF).any())


def _exponents(statistics: Statistics, settings: Settings, capacity: int) -> list[float]:
    """For each number of remembered rows, from none to the capacity, the widest kernel whose leak stays within the budget."""
    rows = np.arange(capacity + 1, dtype=np.float32)[:, None]
    fits = (statistics.leak * rows <= settings.leak_budget) & (statistics.leak_exponents >= settings.exponent_low)
    widest = statistics.leak_exponents[fits.argmax(1)].astype(np.float64)
    narrowest = settings.exponent_high
    exponents: list[float] = np.where(fits.any(1), np.minimum(widest, narrowest), narrowest).tolist()
    return exponents


def _unwhitened(factor: NDArray[np.float64], whitened: NDArray[np.float64]) -> NDArray[np.float64]:
    """A = L⁻ᵀΔ, from the last block of rows to the first: numpy solves no triangles, and a square takes four times as long."""
    solution = whitened.copy()
    for start in range((len(factor) - 1) // _BLOCK * _BLOCK, -1, -_BLOCK):
        rows = slice(start, start + _BLOCK)
        solution[rows] = np.linalg.solve(factor[rows, rows].T, solution[rows])
        if start:
            solution[:start] -= factor[rows, :start].T @ solution[rows]
    return solution


def _cholesky(between: FloatArray) -> NDArray[np.float64]:
    """L with L·Lᵀ = κ(X, X) + jitter·I in float64; the cut at zero makes κ not quite positive definite, so the jitter grows if need be."""
    jitter = _JITTER
    widened = between.astype(np.float64, order="C")
    diagonal = widened.reshape(-1)[:: len(widened) + 1]  # a view
    undisturbed = diagonal.copy()
    while True:
        np.add(undisturbed, jitter, out=diagonal)
        try:
            return np.asarray(np.linalg.cholesky(widened), np.float64)
        except np.linalg.LinAlgError:
            jitter *= 10
