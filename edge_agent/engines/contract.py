"""What every engine that trains the head must do: two attributes and three methods.

A third party's engine is a factory that another distribution registers under its own name:

    [project.entry-points."onnx_edge_agent.engines"]
    my-engine = "my_package:MyEngine"

It is called with the opened artifact and the name of the provider that runs the backbone, and returns a `HeadEngine`, or raises
`RuntimeUnavailable` where it cannot work. `--engine my-engine` then selects it, and `edge-agent check-engine my-engine` runs the
contract test on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """The rows that one gradient step sees, all C-contiguous float32; the caller may change `weights` in place between steps.

    Attributes:
        kernel: `[N, R]`, kernel features of the rows; `R` as in the engine's `shape`, unused columns are zero.
        base_logits: `[N, C]`, logits without the trained part; −1e4 for a class that is not in use.
        targets: `[N, C]`, probabilities that sum to one.
        weights: `[N]`, 0 switches a row off.
    """

    kernel: FloatArray
    base_logits: FloatArray
    targets: FloatArray
    weights: FloatArray


class HeadEngine(Protocol):
    """Plain gradient steps on the one trainable parameter of the head, `coefficients` `[C, R]`.

    The loss is Σᵢ weightsᵢ · cross-entropy(targetsᵢ, softmax(base_logitsᵢ + kernelᵢ · coefficientsᵀ)): a sum, not a mean. An engine is
    exact to float32: two engines given the same batches in the same order agree to 1e-5. It is deterministic: the same batches give
    the same bytes. It changes no batch, holds no state but the parameter, and is used by one thread at a time.
    """

    @property
    def name(self) -> str:
        """The name under which `--engine` selects it."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """`(C, R)` of the parameter, `C` with the spare classes; `R` is what the last `reset` made it."""
        ...

    def reset(self, rows: int) -> None:
        """Set the parameter to zero, with room for at least so many remembered rows; see `shape` for what it is now."""
        ...

    def step(self, batch: Batch, learning_rate: float) -> FloatArray:
        """One step against the gradient of the loss; returns the logits `[N, C]` with the new parameter, an array that stays as it is."""
        ...

    def coefficients(self) -> FloatArray:
        """A copy of the parameter, `[C, R]`."""
        ...


EngineFactory: TypeAlias = Callable[[Artifact, str], HeadEngine]
"""Makes an engine from the opened artifact and the name of the provider that runs the backbone."""
