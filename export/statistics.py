"""Numbers that the device needs: temperature, context map, leak table, scalars for a new class (LEARNING.md §2, §3, §5).

Everything here is a pure function of arrays. Shapes: n pictures, C classes, D features, E raw features, K directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import InputError
from edge_agent.manifest import NewClass

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]

MOST_DIRECTIONS = 96
SHRINKAGE = 0.03
TEMPERATURE_EXPONENTS = (-1.2, 3.0, 60)  # the divisor is searched on e^-1.2 … e^3
LEAK_EXPONENTS = (1.0, 8.0, 29)
COLLAPSED_LEAK = 0.006  # leak(3); 0.0015 on healthy networks, 0.008 for the last layer alone of a collapsed one
COLLAPSED_EXPONENT = 3.0


@dataclass(frozen=True)
class ContextMap:
    """φ(u) = (u − mean) matrix: standardises, whitens with shrinkage and keeps the strongest directions.

    Attributes:
        mean: `[E]`.
        matrix: `[E, K]`.
    """

    mean: FloatArray
    matrix: FloatArray

    def apply(self, raw: FloatArray) -> FloatArray:
        """The contexts of raw features.

        Args:
            raw: `[n, E]`.

        Returns:
            `[n, K]`, rows of unit length.
        """
        mapped = (raw - self.mean) @ self.matrix
        unit: FloatArray = mapped / np.maximum(np.linalg.norm(mapped, axis=1, keepdims=True), np.float32(1e-12))
        return unit


def temperature(logits: FloatArray, labels: IndexArray) -> float:
    """The divisor that makes probabilities honest: the least negative log-likelihood on a grid.

    Args:
        logits: `[n, C]`.
        labels: `[n]`.

    Returns:
        The divisor, 0.3 to 20.
    """
    grid = np.exp(np.linspace(*TEMPERATURE_EXPONENTS))
    return float(grid[int(np.argmin([_loss(logits.astype(np.float64) / divisor, labels) for divisor in grid]))])


def context_map(raw: FloatArray, most: int = MOST_DIRECTIONS, shrinkage: float = SHRINKAGE) -> ContextMap:
    """The context map of raw features.

    Args:
        raw: `[n, E]`, of as many pictures as there are.
        most: greatest number of directions.
        shrinkage: added to each variance, in units of the mean variance.

    Returns:
        The map; it has fewer directions where the pictures span fewer.

    Raises:
        InputError: all pictures give the same features.

    Cost: one symmetric eigenproblem of size min(n, E), in float64.
    """
    wide = raw.astype(np.float64)
    mean = wide.mean(axis=0)
    scale = wide.std(axis=0) + 1e-3 * wide.std()
    if not (np.isfinite(scale).all() and scale.max() > 0):
        raise InputError("all pictures give the same features: there is nothing to tell them apart", "check --weights and --data")
    scaled = (wide - mean) / np.where(scale > 0, scale, 1.0)
    values, vectors = _strongest(scaled, most)
    total = float((scaled * scaled).sum()) / scaled.size
    matrix = vectors / np.sqrt(values + shrinkage * total) / scale[:, None]
    return ContextMap(mean.astype(np.float32), matrix.astype(np.float32))


def leak_table(contexts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How much the kernel leaks between unrelated pictures: mean of max(0, xᵢ·xⱼ)^m over pairs of different pictures.

    Args:
        contexts: `[n, K]`, unit length.

    Returns:
        The exponents m and the leak at each, `[29]` both; the leak of a single picture is 0.
    """
    exponents = np.linspace(*LEAK_EXPONENTS)
    pairs = np.maximum(contexts.astype(np.float64) @ contexts.T.astype(np.float64), 0)[~np.eye(len(contexts), dtype=bool)]
    leak = [float((pairs**m).mean()) if len(pairs) else 0.0 for m in exponents]
    return exponents.astype(np.float32), np.array(leak, np.float32)


def collapsed(leak: FloatArray) -> bool:
    """Whether the leak table shows that the context does not tell pictures of a class apart."""
    exponents = np.linspace(*LEAK_EXPONENTS)
    return float(leak[int(np.argmin(abs(exponents - COLLAPSED_EXPONENT)))]) > COLLAPSED_LEAK


def new_class(
    weight: FloatArray, bias: FloatArray, features: FloatArray, labels: IndexArray, sentinel: FloatArray, own: IndexArray
) -> NewClass:
    """What a class added on the device starts from, in the units of `weight`, `bias` and `sentinel` (LEARNING.md §5).

    Args:
        weight: `[C, D]`, rows of the last layer, calibrated.
        bias: `[C]`, calibrated.
        features: `[n, D]`, of the statistics pictures.
        labels: `[n]`.
        sentinel: `[Q, C]`, calibrated logits of the sentinel pictures.
        own: `[Q]`, their labels.

    Returns:
        The scalars; classes without a picture are left out of the means.
    """
    wide = features.astype(np.float64)
    shown = np.unique(labels)
    means = np.stack([wide[labels == label].mean(axis=0) for label in shown])
    centre = wide.mean(axis=0)
    spread = means - means.mean(axis=0)
    rows = (weight - weight.mean(axis=0))[shown].astype(np.float64)
    within = wide - means[np.searchsorted(shown, labels)]
    centred = sentinel - sentinel.mean(axis=1, keepdims=True)
    logit = centred[np.arange(len(own)), own].astype(np.float64)
    return NewClass(
        scale=float((rows * spread).sum() / max((spread * spread).sum(), 1e-12)),
        spread=float(((means - centre) ** 2).sum(axis=1).mean()),
        within=float((within * within).mean(axis=0).sum()),
        own_logit=float(logit.mean()),
        own_deviation=float(logit.std()),
        bias=float(bias.astype(np.float64).mean()),
    )


def _strongest(scaled: DoubleArray, most: int) -> tuple[DoubleArray, DoubleArray]:
    """Eigenvalues (falling) and eigenvectors `[E, K]` of the covariance; through the pictures where they are fewer than the features."""
    count, width = scaled.shape
    if count < width:
        values, left = np.linalg.eigh(scaled @ scaled.T / count)
        values, left = np.maximum(values[::-1][:most], 0), left[:, ::-1][:, :most]
        kept = values > 1e-9 * max(values[0], 1e-300)
        values, vectors = values[kept], scaled.T @ left[:, kept] / np.sqrt(values[kept] * count)
    else:
        values, vectors = np.linalg.eigh(scaled.T @ scaled / count)
        values, vectors = np.maximum(values[::-1][:most], 0), vectors[:, ::-1][:, :most]
        kept = values > 1e-9 * max(values[0], 1e-300)
        values, vectors = values[kept], vectors[:, kept]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return values, vectors * signs


def _loss(logits: DoubleArray, labels: IndexArray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(labels)), labels]
    return float((np.log(np.exp(shifted).sum(axis=1)) - own).mean())
