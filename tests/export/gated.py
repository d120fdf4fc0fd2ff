"""A network with what mobilenet_v3 has: hard-swish, a squeeze-and-excitation gate, a residual sum, means over positions."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from export import taps
from export.backbone_graph import to_onnx
from export.tail import TAPPED_OUTPUTS
from export.tapped import Tapped
from export.written import session_for

PX = 32


class Gated(nn.Module):
    def __init__(self, classes: int = 4, pooled_stem: bool = False) -> None:
        super().__init__()
        pool = [nn.MaxPool2d(3, 2, 1)] if pooled_stem else []
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish(), *pool)
        self.wide = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.Hardswish())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid())
        self.narrow = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.Hardswish())
        self.deep = nn.Sequential(nn.Conv2d(16, 24, 3, 2, 1), nn.Hardswish())
        self.head = nn.Linear(24, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.wide(self.stem(image))
        x = x + self.narrow(x * self.squeeze(x))
        return self.head(self.deep(x).mean((2, 3)))


def gated(seed: int = 0, pooled_stem: bool = False) -> Gated:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Gated(pooled_stem=pooled_stem).eval().requires_grad_(False)
    network.head.weight.mul_(20)
    return network


def tapped_model(network: nn.Module) -> onnx.ModelProto:
    """Image → logits, features, taps, in float32."""
    return to_onnx(Tapped(taps.cut(network, PX, PX)).eval(), TAPPED_OUTPUTS, PX, PX)


def images(count: int = 32, seed: int = 0) -> NDArray[np.float32]:
    """Smooth random pictures, normalised."""
    small = np.random.default_rng(seed).normal(size=(count, 3, 8, 8)).astype(np.float32)
    return np.repeat(np.repeat(small, PX // 8, 2), PX // 8, 3)


def ran(model: onnx.ModelProto, pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    session = session_for(model.SerializeToString(), "the model of a test")
    found: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: pictures})
    return found
