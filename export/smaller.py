"""A network made smaller: quantised before the pictures run through it, so that statistics and sentinel are of what the device runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_agent.errors import ArtifactError, InputError
from edge_agent.manifest import Quantization
from export import half_precision, int8, quantisable
from export.backbone_graph import to_onnx
from export.dataset import Picture, Progress, batches
from export.measure import Measured, measure
from export.plan import BuildPlan, Prepared
from export.tail import TAPPED_OUTPUTS
from export.tapped import Tapped
from export.written import session_for

INT8, FLOAT16 = "int8", "float16"
COMPARED = 2_000  # pictures that both networks classify; a loss of a point is then seen to about 0.3


@dataclass(frozen=True, eq=False)
class Smaller:
    """A quantised network beside the one it was made from.

    Attributes:
        kind: "int8" or "float16".
        in_float: image → logits, features, taps, in float32.
        model: the same, quantised.
        session: that runs `model`.
        facts: its accuracy beside the float network's, as soon as it is known.
    """

    kind: str
    in_float: onnx.ModelProto
    model: onnx.ModelProto
    session: Any
    facts: Quantization | None = None

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the quantised network once: image `[N, 3, H, W]` → logits, features, taps.

        Raises:
            InputError: float16 has no room for its numbers.
        """
        found = self.session.run(list(TAPPED_OUTPUTS), {self.model.graph.input[0].name: image.numpy()})
        if self.kind == FLOAT16 and not all(np.isfinite(part).all() for part in found):
            hint = "build it without --quantize, or with --quantize int8"
            raise InputError("the network gives NaN or Inf in float16: its numbers go beyond 65504", hint)
        logits, features, taps = (torch.from_numpy(part) for part in found)
        return logits, features, taps

    def judged(self, facts: Quantization) -> Smaller:
        """The same with its accuracy."""
        return dataclasses.replace(self, facts=facts)


def tapped_onnx(network: Tapped, prepared: Prepared, kind: str) -> onnx.ModelProto:
    """The float network as ONNX, refused here, before any picture is read, where it cannot be quantised.

    Raises:
        InputError: it cannot be written as ONNX, or not be quantised.
    """
    model = to_onnx(network, TAPPED_OUTPUTS, *prepared.spec.crop_px)
    if kind == INT8:
        quantisable.check(quantisable.prepared(model), prepared.network.name)
    return model


def make_smaller(
    in_float: onnx.ModelProto, plan: BuildPlan, prepared: Prepared, pictures: Sequence[Picture], progress: Progress
) -> Smaller:
    """Quantise a network; int8 takes its ranges from pictures.

    Args:
        in_float: from `tapped_onnx`.
        plan: what to build; `quantize` is not None.
        prepared: the same, checked.
        pictures: the statistics pictures.
        progress: told how far the calibration is.

    Returns:
        The quantised network.

    Raises:
        InputError: the quantiser refuses the network.
    """
    if plan.quantize == INT8:
        chosen = sorted(pictures, key=lambda picture: picture.digest)[: int8.PICTURES]  # all labels mixed, whatever their names
        model = int8.to_int8(quantisable.prepared(in_float), _tensors(chosen, plan, prepared), len(chosen), progress)
    else:
        model = half_precision.to_float16(in_float)
    return Smaller(str(plan.quantize), in_float, model, session_for(model.SerializeToString(), "the quantised network"))


def compare(
    plan: BuildPlan, prepared: Prepared, network: Tapped, held: Measured, measured: Measured, progress: Progress
) -> Quantization:
    """The accuracy of both networks on the sentinel pictures and some of the others.

    Args:
        plan: what to build.
        prepared: the same, checked.
        network: in float32.
        held: the sentinel pictures through the quantised network.
        measured: the statistics pictures through it.
        progress: told how far the float network is.

    Returns:
        The facts for the manifest.

    Raises:
        ArtifactError: the loss is greater than the plan accepts.
    """
    count = min(len(measured.pictures), COMPARED)
    rows = np.unique(np.linspace(0, len(measured.pictures) - 1, count).round().astype(int))
    right = np.concatenate([_right(held), _right(measured)[rows]])
    pictures = (*held.pictures, *(measured.pictures[row] for row in rows))
    before = _right(measure(network, pictures, prepared.spec, plan.limits, "accuracy in float32", progress))
    facts = Quantization(str(plan.quantize), float(right.mean()), float(before.mean()), len(pictures))
    drop = round(100 * (facts.float_accuracy - facts.accuracy), 6)  # 1 point is not a hair more than 1 point
    if drop > plan.max_accuracy_drop and not plan.force and (prepared.policy is not None or not prepared.network.random):
        both = f"{facts.float_accuracy:.1%} in float32, {facts.accuracy:.1%} in {facts.kind}, on {facts.pictures} pictures"
        message = f"quantising costs {drop:.2f} points of accuracy ({both}), at most {plan.max_accuracy_drop:g} are accepted"
        raise ArtifactError(message, "nothing was kept; give more --data, build without --quantize, or insist with --force")
    return facts


def _right(found: Measured) -> NDArray[np.bool_]:
    return np.asarray(found.logits.argmax(axis=1) == found.labels)


def _tensors(pictures: Sequence[Picture], plan: BuildPlan, prepared: Prepared) -> Iterator[NDArray[np.float32]]:
    return (tensor for _, tensor, _ in batches(pictures, prepared.spec, plan.limits, int8.BATCH) if len(tensor))
