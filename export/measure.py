"""Pictures through the tapped network: logits and raw features, in batches, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits
from edge_agent.manifest import ImageSpec
from export.dataset import Picture, Progress, Unreadable, batch_size, batches

Network = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """What the network says about pictures, in their order.

    Attributes:
        pictures: those that could be decoded.
        logits: `[n, C]`, not calibrated.
        raw: `[n, E]`: the features, then the taps.
        labels: `[n]`, index of the true label.
        unreadable: the others.
    """

    pictures: tuple[Picture, ...]
    logits: FloatArray
    raw: FloatArray
    labels: NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]


def measure(
    network: Network, pictures: Sequence[Picture], spec: ImageSpec, limits: ImageLimits, stage: str, progress: Progress
) -> Measured:
    """Run the network over pictures.

    Args:
        network: in evaluation mode: image → logits, features, taps.
        pictures: what to run.
        spec: how a picture becomes the input.
        limits: what is refused before decoding.
        stage: what `progress` is told.
        progress: told how many pictures are done.

    Returns:
        What was measured.

    Raises:
        InputError: no picture can be decoded, or the network gives NaN or Inf.
    """
    kept: list[Picture] = []
    unreadable: list[Unreadable] = []
    logits: list[FloatArray] = []
    raw: list[FloatArray] = []
    for good, tensor, bad in batches(pictures, spec, limits, batch_size(spec)):
        kept += good
        unreadable += bad
        if good:
            with torch.no_grad():
                found = network(torch.from_numpy(tensor))
            logits.append(found[0].numpy())
            raw.append(torch.cat(found[1:], dim=1).numpy())
        progress(stage, len(kept) + len(unreadable), len(pictures))
    if not kept:
        raise InputError(f"none of {len(pictures)} pictures can be read; the first: {unreadable[0]}", "look at the files of --data")
    labels = np.array([picture.label for picture in kept], np.int64)
    result = Measured(tuple(kept), np.concatenate(logits), np.concatenate(raw), labels, tuple(unreadable))
    _require_finite(result)
    return result


def _require_finite(found: Measured) -> None:
    for name, array in (("logits", found.logits), ("features", found.raw)):
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            where = f"{len(bad)} of {len(array)} pictures, the first {found.pictures[int(bad[0])].path.name}"
            raise InputError(f"the network gives NaN or Inf as {name} for {where}", "check the weights, --mean and --std")
