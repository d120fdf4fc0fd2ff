"""Parity of a quantised network: exact where nothing was rounded, and within a tolerance of its own where something was.

Three comparisons: PyTorch with the float network that was quantised, `backbone.onnx` with the quantised network and the tail's formula
in numpy, and PyTorch with `backbone.onnx`, which shows what quantising changed. The first two are held to the usual tolerances.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_agent.manifest import ParityFacts
from export.backbone_graph import Backbone
from export.parity import CONTEXT_TOLERANCE, LOGIT_SCALE, LOGIT_TOLERANCE, HeadShape, accept, compare_steps
from export.smaller import Smaller
from export.statistics import ContextMap
from export.tail import TAPPED_OUTPUTS
from export.written import WrittenBackbone, session_for, step_case

FloatArray = NDArray[np.float32]
BATCH = 16
# Of the deviation of PyTorch's logits, root mean square over pictures and labels: 0.1 for networks that quantise well; beyond 0.5 what was
# written is another network. Its accuracy decides before that.
QUANTISED_TOLERANCE = 0.5


def compare_smaller(
    module: nn.Module, smaller: Smaller, backbone: Backbone, folder: Path, images: FloatArray, labels: NDArray[np.int64], head: HeadShape
) -> ParityFacts:
    """Compare a quantised `backbone.onnx` with PyTorch and with itself, and the head's steps as ever.

    Args:
        module: the network as torchvision made it.
        smaller: the quantised network and the float one it was made from.
        backbone: temperature and context that belong to the quantised network.
        folder: the artifact's directory.
        images: `[n, 3, H, W]`, real pictures.
        labels: `[n]`, their labels.
        head: the shape of the head.

    Returns:
        The greatest differences: `logits` is what quantising changed, `context` how far `backbone.onnx` is from the formula.

    Raises:
        ArtifactError: a pair differs by more than its tolerance; the message names it and says by how much.
    """
    with torch.no_grad():
        expected = np.concatenate([module(torch.from_numpy(part)).numpy() for part in _parts(images)]) / np.float32(backbone.temperature)
    scale = max(1.0, float(np.abs(expected).max()) / LOGIT_SCALE)
    in_float = _run(session_for(smaller.in_float.SerializeToString(), "the float network"), images)[0] / np.float32(backbone.temperature)
    accept("logits of PyTorch and the float network", _greatest(in_float, expected), LOGIT_TOLERANCE * scale)
    logits, raw = _tapped(smaller, images)
    written = WrittenBackbone(folder / "backbone.onnx")
    found = [written.run(part) for part in _parts(images)]
    logits_found, contexts = np.concatenate([part[0] for part in found]), np.concatenate([part[2] for part in found])
    calibrated = logits / np.float32(backbone.temperature)
    accept("logits of the quantised network and backbone.onnx", _greatest(logits_found, calibrated), LOGIT_TOLERANCE * scale)
    map_ = ContextMap(backbone.mean.numpy(), backbone.matrix.numpy())
    context = accept("contexts of the quantised network and backbone.onnx", _greatest(contexts, map_.apply(raw)), CONTEXT_TOLERANCE)
    spread = float(np.sqrt(((logits_found - expected) ** 2).mean()) / max(float(expected.std()), 1e-12))
    accept(f"logits of PyTorch and of the network in {smaller.kind} (in deviations of a logit)", spread, QUANTISED_TOLERANCE)
    gradient = compare_steps(folder, step_case(contexts, logits_found, labels, head.spare_classes, head.capacity))
    return ParityFacts(_greatest(logits_found, expected), context, gradient, len(images))


def _tapped(smaller: Smaller, images: FloatArray) -> tuple[FloatArray, FloatArray]:
    logits, features, taps = _run(smaller.session, images)
    return logits, np.concatenate([features, taps], axis=1)


def _run(session: Any, images: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    name = session.get_inputs()[0].name
    found = [session.run(list(TAPPED_OUTPUTS), {name: part}) for part in _parts(images)]
    logits, features, taps = (np.concatenate([part[place] for part in found]) for place in range(3))
    return logits, features, taps


def _parts(images: FloatArray) -> list[FloatArray]:
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]


def _greatest(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found.astype(np.float64) - expected).max()) if found.shape == expected.shape else float("inf")
