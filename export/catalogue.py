"""`edge-export models`: what torchvision's classifiers look like to the export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torchvision
from torch import nn

from export import source


@dataclass(frozen=True)
class Network:
    """One classifier.

    Attributes:
        name: torchvision's name.
        parameters: how many numbers it has, with the classes of its preset.
        last_layer: name of its last layer.
        last_layer_kind: "linear" or "other".
        features: numbers that enter the last layer.
        input_px: height and width of its preset.
    """

    name: str
    parameters: int
    last_layer: str
    last_layer_kind: str
    features: int
    input_px: int


def networks() -> Iterator[Network]:
    """Torchvision's classifiers, sorted by name, one at a time.

    Cost: a tenth of a second each; no weights are made.
    """
    for name in source.names():
        yield network(name)


def network(name: str) -> Network:
    """What one classifier looks like; its last layer is the one that it registers last, which tracing confirms at `build`.

    Args:
        name: one of torchvision's.
    """
    module = source.outline(name)
    layer_name, layer = [(path, part) for path, part in module.named_modules() if any(True for _ in part.parameters(recurse=False))][-1]
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    linear = isinstance(layer, nn.Linear)
    width = layer.in_features if isinstance(layer, nn.Linear) else int(getattr(layer, "in_channels", 0))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Network(name, parameters, layer_name, "linear" if linear else "other", width, int(preset.crop_size[0]))
