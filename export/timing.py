"""A pass of the quantised network beside a pass of the float one: in turn, on one thread, so that a busy machine slows both."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.dataset import Progress
from export.fit import Fitted
from export.signatures import BACKBONE_INPUT, BACKBONE_OUTPUTS
from export.tail import with_tail
from export.written import session_for

ROUNDS = (12, 60)  # at least and at most
ENOUGH_S = 3.0
PAYS = 0.95  # a gain below 5 % is not worth another rounding
STAGE = "a pass beside float32"


@dataclass(frozen=True)
class Timing:
    """The shortest of many passes with one picture on one thread: other work on the machine only ever makes them longer.

    Attributes:
        kind: "int8" or "float16".
        float_ms: of the network in float32.
        quantised_ms: of the artifact's network.
    """

    kind: str
    float_ms: float
    quantised_ms: float

    @property
    def ratio(self) -> float:
        """Time of the quantised network, as a share of the float one's."""
        return self.quantised_ms / self.float_ms

    @property
    def pays(self) -> bool:
        """Whether quantising made it faster on this machine."""
        return self.ratio <= PAYS

    @property
    def sentence(self) -> str:
        """Both times in words."""
        return f"{self.quantised_ms:.2f} ms in {self.kind}, {self.float_ms:.2f} ms in float32, one thread: ratio {self.ratio:.2f}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know who quantised for speed."""
        if self.pays:
            return ()
        why = {"float16": "it is for GPU providers, and a CPU converts to float32 and back", "int8": "only the file is smaller"}
        return (f"{self.kind} does not pay on this machine: {self.sentence}; {why[self.kind]}",)

    def facts(self) -> dict[str, object]:
        """The keys of `build --json`."""
        return {**dataclasses.asdict(self), "ratio": self.ratio, "pays": self.pays}


def beside_float(artifact: Path, fitted: Fitted, progress: Progress) -> Timing:
    """Time both networks of a build, each with its whole tail.

    Args:
        artifact: the artifact's directory.
        fitted: with the float network that was quantised.
        progress: told when it begins and ends.

    Returns:
        The times.

    Raises:
        ArtifactError: ONNX Runtime refuses one.
    """
    if fitted.smaller is None:
        raise ValueError("there is nothing to compare: the network was not quantised")
    progress(STAGE, 0, 1)
    in_float = with_tail(fitted.smaller.in_float, fitted.backbone.temperature, fitted.context).SerializeToString()
    sessions = [session_for(network, "backbone.onnx", threads=1) for network in (in_float, artifact / "backbone.onnx")]
    shape = [1, *(int(size) for size in sessions[1].get_inputs()[0].shape[1:])]
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    float_ms, quantised_ms = shortest(sessions, image)
    progress(STAGE, 1, 1)
    return Timing(fitted.smaller.kind, float_ms, quantised_ms)


def shortest(sessions: list[Any], image: NDArray[np.float32]) -> list[float]:
    """The shortest pass of each session in milliseconds, over rounds in which each has its turn."""
    least, started = [float("inf")] * len(sessions), time.monotonic()
    for number in range(ROUNDS[1]):
        if number >= ROUNDS[0] and time.monotonic() - started > ENOUGH_S:
            break
        for place, session in enumerate(sessions):
            begun = time.perf_counter()
            session.run(list(BACKBONE_OUTPUTS), {BACKBONE_INPUT: image})
            least[place] = min(least[place], (time.perf_counter() - begun) * 1000)
    return least
