"""The head: what is trained, as frozen data and pure functions.

    logits = base + κ(x, X) · A        κ(x, xᵢ) = max(0, x·xᵢ)^m

`base` are the factory's own logits, with a column for each class added on the device; X are the contexts of the remembered
corrections and A what gradient steps made of them, from zero. Far from every remembered correction κ is zero and the factory speaks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.runtime import Seen

FloatArray = NDArray[np.float32]
NOT_IN_USE = np.float32(-1e4)


@dataclass(frozen=True, eq=False)
class AddedClasses:
    """The rows of `P` classes added on the device: logit = features · weight + context · local + bias.

    Attributes:
        weight: `[P, D]`, zeros until the first shot.
        local: `[P, K]`, zeros until the first shot.
        bias: `[P]`, −1e4 until the first shot.
    """

    weight: FloatArray
    local: FloatArray
    bias: FloatArray

    @classmethod
    def unlearned(cls, count: int, features: int, directions: int) -> AddedClasses:
        """`count` classes that are listed and have no shot yet: their logits are −1e4 whatever the picture."""
        weight, local = np.zeros((count, features), np.float32), np.zeros((count, directions), np.float32)
        return cls(weight, local, np.full(count, NOT_IN_USE, np.float32))

    def __len__(self) -> int:
        """`P`."""
        return len(self.bias)


@dataclass(frozen=True, eq=False)
class Head:
    """A head that can serve.

    Attributes:
        contexts: `[R, K]`, of the remembered rows, in their canonical order.
        coefficients: `[R, C+P]`.
        exponent: m, the kernel's width: the smaller the wider.
        added: the `P` classes added on the device.
    """

    contexts: FloatArray
    coefficients: FloatArray
    exponent: float
    added: AddedClasses

    @classmethod
    def factory(cls, classes: int, exponent: float, added: AddedClasses) -> Head:
        """The head with nothing remembered: its logits are the factory's."""
        directions = added.local.shape[1]
        rows, columns = np.zeros((0, directions), np.float32), classes + len(added)
        return cls(rows, np.zeros((0, columns), np.float32), exponent, added)

    def base_logits(self, seen: Seen) -> FloatArray:
        """`[N, C+P]`: the factory's logits, and a column for each added class."""
        if not len(self.added):
            return seen.logits
        added = seen.features @ self.added.weight.T + seen.context @ self.added.local.T + self.added.bias
        return np.concatenate([seen.logits, added], axis=1)

    def logits(self, seen: Seen) -> FloatArray:
        """`[N, C+P]`: what the corrected classifier says."""
        base = self.base_logits(seen)
        return base + kernel(seen.context, self.contexts, self.exponent) @ self.coefficients if len(self.contexts) else base

    def digest(self) -> str:
        """SHA-256 (hex) over every number of the head: two heads with the same digest are equal bit for bit."""
        shape = f"{self.contexts.shape}{self.coefficients.shape}{self.added.weight.shape}{self.exponent!r}"
        arrays = (self.contexts, self.coefficients, self.added.weight, self.added.local, self.added.bias)
        return hashlib.sha256(b"".join([shape.encode(), *(np.ascontiguousarray(a).tobytes() for a in arrays)])).hexdigest()


@dataclass(frozen=True, eq=False)
class Evidence:
    """One correction as the learner sees it.

    Attributes:
        id: its place in the order of events; a later one is greater.
        label: index of the right label; `C` and above are classes added on the device.
        seen: `V` rows: the picture first, then its views.
    """

    id: int
    label: int
    seen: Seen


def kernel(left: FloatArray, right: FloatArray, exponent: float) -> FloatArray:
    """κ between contexts.

    Args:
        left: `[N, K]`, of unit length.
        right: `[R, K]`, of unit length.
        exponent: m.

    Returns:
        `[N, R]`, 1 for the same picture, 0 for one that shares nothing.
    """
    value: FloatArray = left @ right.T
    np.maximum(value, 0, out=value)
    return _power(value, exponent)


def _power(value: FloatArray, exponent: float) -> FloatArray:
    """`value ** exponent`, in place where it can be.

    The exponents of an artifact's table are multiples of a quarter: square roots and products take a fifth of the time of a power, and
    they are the same bits on every machine.
    """
    quarters = round(exponent * 4)
    if quarters != exponent * 4 or not 4 <= quarters <= 64:
        return np.power(value, np.float32(exponent), out=value)
    result = value.copy() if quarters < 8 else np.multiply(value, value)
    for _ in range(quarters // 4 - 2):
        np.multiply(result, value, out=result)
    for half in (2, 1):
        if quarters % 4:
            np.sqrt(value, out=value)  # the fourth root where it comes for the second time
            if quarters & half:
                np.multiply(result, value, out=result)
    return result


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities along the last axis."""
    greatest: FloatArray = np.maximum.reduce(logits, -1, keepdims=True)
    exponential = np.exp(logits - greatest)
    total: FloatArray = np.add.reduce(exponential, -1, keepdims=True)
    value: FloatArray = exponential / total
    return value
