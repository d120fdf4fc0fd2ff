"""Layers that begin anew, with the numbers of an untrained network of the same kind; the last one with as many rows as there are labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_agent.errors import InputError
from edge_agent.manifest import ImageSpec
from export import factories, source
from export.policy import REINIT, Policy
from export.source import Source, Weights

RESETS = ("reset_parameters", "_reset_parameters", "init_weights")


def begin_anew(network: Source, policy: Policy, classes: int, spec: ImageSpec, seed: int) -> None:
    """Give every layer that begins anew its first numbers, in place.

    Args:
        network: with its weights loaded.
        policy: of its layers.
        classes: how many labels there are.
        spec: the input, for networks that are built for one size.
        seed: of the numbers.

    Raises:
        InputError: a layer of a factory's network says no way to begin anew.
    """
    module, chosen = network.module, [name for name, action in policy.actions.items() if action == REINIT]
    if not chosen:
        return
    others = [part for name, part in module.named_modules() if policy.action(name) != REINIT]
    kept = {id(number) for part in others for number in part.parameters(recurse=False)}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        if policy.new_task:
            _fit_rows(module, policy.last_layer, classes)
        if factories.is_factory(network.name):
            _reset(module, chosen, kept)
        else:
            _copy(module, source.build(network.name, Weights(None, "", None, None), classes, spec, seed).module, chosen, kept)
    module.requires_grad_(False)


def _fit_rows(module: nn.Module, name: str, classes: int) -> None:
    layer = module.get_submodule(name)
    if isinstance(layer, nn.Linear) and layer.out_features != classes:
        module.set_submodule(name, nn.Linear(layer.in_features, classes, layer.bias is not None).eval())
    elif isinstance(layer, nn.Conv2d) and layer.out_channels != classes:
        size, stride, padding = layer.kernel_size, layer.stride, layer.padding
        new = nn.Conv2d(layer.in_channels, classes, size, stride, padding, layer.dilation, bias=layer.bias is not None)  # type: ignore[arg-type]
        module.set_submodule(name, new.eval())


def _copy(module: nn.Module, untrained: nn.Module, names: list[str], kept: set[int]) -> None:
    """Parameters and statistics of the layers; what a layer shares with one that does not begin anew stays."""
    for name in names:
        part, other = module.get_submodule(name), untrained.get_submodule(name)
        numbers = (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
        for own, number in numbers:
            new: Tensor = getattr(other, own)
            if id(number) not in kept:
                number.copy_(new)


def _reset(module: nn.Module, names: list[str], kept: set[int]) -> None:
    for name in names:
        part = module.get_submodule(name)
        own = list(part.parameters(recurse=False))
        method = next((getattr(part, reset) for reset in RESETS if callable(getattr(part, reset, None))), None)
        if any(id(number) in kept for number in own) or (method is None and not own):
            continue
        if method is None:
            found = f"--reinit: the layer {name or 'of the network itself'} ({type(part).__name__}) has no reset_parameters()"
            raise InputError(found, "write one that fills its parameters with first numbers, or fine-tune the layer")
        method()
