"""The network with its taps open: the module that the pictures run through at the workstation, and that becomes `backbone.onnx`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from export.taps import Cut


class Tapped(nn.Module):
    """The network with its taps open: image `[N, 3, H, W]` → logits `[N, C]`, features `[N, D]`, taps `[N, E − D]`."""

    def __init__(self, opened: Cut) -> None:
        super().__init__()
        self.points = (opened.features, *opened.taps)
        self.network = _opened(opened.graph, [point.name for point in self.points])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network once."""
        logits, *values = self.network(image)
        pooled = [value.mean(point.axes) if point.axes else value for point, value in zip(self.points, values, strict=True)]
        return logits, pooled[0], torch.cat(pooled[1:], dim=1)


def _opened(graph: fx.GraphModule, names: list[str]) -> fx.GraphModule:
    copied = fx.Graph()
    mapping: dict[fx.Node, fx.Node] = {}
    result: Any = copied.graph_copy(graph.graph, mapping)
    by_name = {node.name: new for node, new in mapping.items()}
    copied.output((result, *(by_name[name] for name in names)))
    return fx.GraphModule(graph, copied)
