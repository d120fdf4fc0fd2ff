"""How honest the probabilities are, and which labels are taken for which: counted on the sentinel pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int64]
BINS = 10


@dataclass(frozen=True)
class Bin:
    """Pictures whose greatest probability lies in one tenth of 0…1.

    Attributes:
        count: how many; 0 leaves the other two at 0.
        said: mean of their greatest probability.
        right: share of them whose first label is the true one.
    """

    count: int
    said: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """What the network says of itself, against what holds.

    Attributes:
        bins: from the least probability to the greatest, equally wide.
    """

    bins: tuple[Bin, ...]

    @property
    def error(self) -> float:
        """Expected calibration error (0…1): the mean distance of what is said from what holds, each bin by its pictures.

        Source: Guo et al., On Calibration of Modern Neural Networks (2017), section 2.
        """
        total = sum(one.count for one in self.bins)
        return sum(one.count * abs(one.said - one.right) for one in self.bins) / max(1, total)


@dataclass(frozen=True)
class Confusion:
    """Pictures of one label that were given another.

    Attributes:
        truth, said: indexes of both labels.
        count: how many pictures.
        of: pictures of the label `truth`.
    """

    truth: int
    said: int
    count: int
    of: int


def probabilities(logits: FloatArray) -> NDArray[np.float64]:
    """Softmax of logits `[n, C]` in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def reliability(logits: FloatArray, labels: IndexArray, bins: int = BINS) -> Reliability:
    """Sort pictures by the probability that they were given.

    Args:
        logits: `[n, C]`.
        labels: `[n]`.
        bins: how many, equally wide.
    """
    chances = probabilities(logits)
    said, right = chances.max(axis=1), chances.argmax(axis=1) == labels
    places = np.minimum((said * bins).astype(int), bins - 1)
    rows = [(said[places == place], right[places == place]) for place in range(bins)]
    return Reliability(tuple(Bin(len(s), float(s.mean()) if len(s) else 0.0, float(r.mean()) if len(r) else 0.0) for s, r in rows))


def confusion_matrix(logits: FloatArray, labels: IndexArray) -> IndexArray:
    """Counts `[C, C]`: a row for each true label, a column for each first label."""
    classes = logits.shape[1]
    counted = np.bincount(labels * classes + logits.argmax(axis=1), minlength=classes * classes)
    return counted.reshape(classes, classes).astype(np.int64)


def confusions(matrix: IndexArray, most: int) -> tuple[Confusion, ...]:
    """The most frequent mistakes; of equally frequent ones those of the rarer label come first.

    Args:
        matrix: from `confusion_matrix`.
        most: how many at most.
    """
    totals = matrix.sum(axis=1)
    found = [Confusion(int(t), int(s), int(matrix[t, s]), int(totals[t])) for t, s in zip(*np.nonzero(matrix), strict=True) if t != s]
    return tuple(sorted(found, key=lambda one: (-one.count, one.of, one.truth, one.said))[:most])


def interval(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval of the share behind a count (Wilson, 1927), in 0…1."""
    if not of:
        return 0.0, 1.0
    z2, share = 1.96**2 / of, right / of
    centre, spread = share + z2 / 2, 1.96 * (share * (1 - share) / of + z2 / of / 4) ** 0.5
    return max(0.0, (centre - spread) / (1 + z2)), min(1.0, (centre + spread) / (1 + z2))
