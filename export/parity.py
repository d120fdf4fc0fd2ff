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
from export.written import StepCase, WrittenBackbone, portable_steps, step_case, training_steps

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


@dataclass(frozen=True)
class Pair:
    """Two arrays that should be equal, and by how much they may differ."""

    name: str
    expected: FloatArray
    found: FloatArray
    tolerance: float

    def difference(self) -> float:
        """The greatest absolute difference.

        Raises:
            ArtifactError: it is above the tolerance or not a number, or the shapes differ.
        """
        if self.expected.shape != self.found.shape:
            raise ArtifactError(f"parity: {self.name} have shape {self.found.shape}, PyTorch {self.expected.shape}", HINT)
        greatest = float(np.abs(self.expected.astype(np.float64) - self.found).max(initial=0.0))
        if not greatest <= self.tolerance:
            raise ArtifactError(f"parity: {self.name} differ by {greatest:.2g}, at most {self.tolerance:.2g} is accepted", HINT)
        return greatest


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
    logit_difference = Pair("logits of PyTorch and backbone.onnx", expected, logits, LOGIT_TOLERANCE * scale).difference()
    changed = int((expected.argmax(axis=1) != logits.argmax(axis=1)).sum())
    if changed:
        raise ArtifactError(f"parity: the first label of PyTorch and backbone.onnx differs on {changed} of {len(images)} pictures", HINT)
    context_difference = Pair("contexts of PyTorch and backbone.onnx", context, contexts, CONTEXT_TOLERANCE).difference()
    gradient = compare_steps(folder, step_case(contexts, logits, labels, head.spare_classes, head.capacity))
    return ParityFacts(logit_difference, context_difference, gradient, len(images))


def compare_steps(folder: Path, case: StepCase) -> float:
    """The greatest difference between PyTorch's steps on the head and those of both written graphs.

    Raises:
        ArtifactError: one differs by more than 1e-5.
    """
    expected = torch_steps(case)
    found = {
        "training/": training_steps(folder / "training", case),
        "portable/step.onnx": portable_steps(folder / "portable/step.onnx", case),
    }
    pairs = [Pair(f"gradient steps of PyTorch and {name}", expected, steps, GRADIENT_TOLERANCE) for name, steps in found.items()]
    return max(pair.difference() for pair in pairs)


def torch_steps(case: StepCase) -> FloatArray:
    """Coefficients `[C + S, R]` after the case's steps in PyTorch."""
    head = Head(case.base_logits.shape[1], case.kernel.shape[1])
    optimizer = torch.optim.SGD(head.parameters(), lr=case.learning_rate)
    inputs = [torch.from_numpy(array) for array in (case.kernel, case.base_logits, case.targets, case.weights)]
    for _ in range(case.steps):
        optimizer.zero_grad()
        loss, _ = head(*inputs)
        loss.backward()
        optimizer.step()
    return head.coefficients.detach().numpy()


def _in_batches(run: Callable[[FloatArray], FloatArray], images: FloatArray) -> FloatArray:
    return np.concatenate([run(images[start : start + 16]) for start in range(0, len(images), 16)])
