"""PyTorch against what was written, on real pictures: an artifact that does not agree is not handed out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_agent.errors import ArtifactError
from edge_agent.manifest import ParityFacts
from export.backbone_graph import Backbone
from export.head_graph import Head
from export.written import StepCase, Stepped, WrittenBackbone, portable_steps, step_case, training_steps

FloatArray = NDArray[np.float32]
LOGIT_TOLERANCE = 1e-4  # for logits up to LOGIT_SCALE; larger ones are held to the same relative error
LOGIT_SCALE = 100.0
CONTEXT_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-5
PICTURES = 64
HINT = "nothing was kept; report it with the model's name and the versions of torch and onnx"


@dataclass(frozen=True)
class HeadShape:
    """What the head adds to the network's classes: spare ones, and how many corrections it remembers."""

    spare_classes: int
    capacity: int


def accept(name: str, difference: float, tolerance: float) -> float:
    """Let a difference pass.

    Args:
        name: the pair that was compared, in the plural.
        difference: the greatest that was found.
        tolerance: the greatest that is accepted.

    Returns:
        The difference.

    Raises:
        ArtifactError: it is above the tolerance, or not a number.
    """
    if not difference <= tolerance:
        raise ArtifactError(f"parity: {name} differ by {difference:.2g}, at most {tolerance:.2g} is accepted", HINT)
    return difference


def compare(
    module: nn.Module, backbone: Backbone, folder: Path, images: FloatArray, labels: NDArray[np.int64], head: HeadShape
) -> ParityFacts:
    """Compare forward pass and gradient steps.

    Args:
        module: the network as torchvision made it, not traced.
        backbone: what `backbone.onnx` was written from.
        folder: the artifact's directory.
        images: `[n, 3, H, W]`, real pictures.
        labels: `[n]`, their labels.
        head: the shape of the head.

    Returns:
        The greatest differences.

    Raises:
        ArtifactError: a pair differs by more than its tolerance; the message names it and says by how much.
    """
    with torch.no_grad():
        expected = _in_batches(lambda part: (module(torch.from_numpy(part)) / backbone.temperature).numpy(), images)
        context = _in_batches(lambda part: backbone(torch.from_numpy(part))[2].numpy(), images)
    session = WrittenBackbone(folder / "backbone.onnx")
    found = [session.run(images[start : start + 16]) for start in range(0, len(images), 16)]
    logits, contexts = np.concatenate([part[0] for part in found]), np.concatenate([part[2] for part in found])
    scale = max(1.0, float(np.abs(expected).max()) / LOGIT_SCALE)
    logit_difference = accept("logits of PyTorch and backbone.onnx", _absolute(logits, expected), LOGIT_TOLERANCE * scale)
    changed = int((expected.argmax(axis=1) != logits.argmax(axis=1)).sum())
    if changed:
        raise ArtifactError(f"parity: the first label of PyTorch and backbone.onnx differs on {changed} of {len(images)} pictures", HINT)
    context_difference = accept("contexts of PyTorch and backbone.onnx", _absolute(contexts, context), CONTEXT_TOLERANCE)
    gradient = compare_steps(folder, step_case(contexts, logits, labels, head.spare_classes, head.capacity))
    return ParityFacts(logit_difference, context_difference, gradient, len(images))


def compare_steps(folder: Path, case: StepCase) -> float:
    """The greatest difference between PyTorch's steps on the head and those of both written graphs.

    Args:
        folder: the artifact's directory.
        case: the steps.

    Raises:
        ArtifactError: one differs by more than 1e-5.
    """
    expected = torch_steps(case)
    found = {
        "training/": training_steps(folder / "training", case),
        "portable/step.onnx": portable_steps(folder / "portable/step.onnx", case),
    }
    accepted = [
        accept(f"gradient steps of PyTorch and {name}", steps.difference(expected), GRADIENT_TOLERANCE) for name, steps in found.items()
    ]
    return max(accepted)


def torch_steps(case: StepCase) -> Stepped:
    """The case's steps in PyTorch."""
    head = Head(case.base_logits.shape[1], case.kernel.shape[1])
    optimizer = torch.optim.SGD(head.parameters(), lr=case.learning_rate)
    inputs = [torch.from_numpy(array) for array in (case.kernel, case.base_logits, case.targets, case.weights)]
    for _ in range(case.steps):
        optimizer.zero_grad()
        loss, _ = head(*inputs)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return Stepped(head.coefficients.numpy(), head(*inputs)[1].numpy())


def _in_batches(run: Callable[[FloatArray], FloatArray], images: FloatArray) -> FloatArray:
    return np.concatenate([run(images[start : start + 16]) for start in range(0, len(images), 16)])


def _absolute(found: FloatArray, expected: FloatArray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
