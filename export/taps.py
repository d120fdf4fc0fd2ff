"""The traced network: its last layer, what enters it, and where to tap it, all found without names.

A tap is a node through which everything flows: after it, exactly one value is alive. Of these the last one of every stage
(a halving of the resolution) before the final stage is taken; in a transformer, whose resolution never changes, a few evenly
spaced ones. Their outputs, averaged over everything that is not the channel, stand in the context beside the features
(LEARNING.md §2), since the last features of a trained network have forgotten what tells two pictures of a class apart.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from edge_agent.errors import InputError
from export.untraceable import untraceable

MOST_TAPS = 4
TOKEN_TAPS = 3
PROBE_GROWTH_PX = (64, 128)  # added to height and width: an axis that grows with them is a position, one that does not is the channel


@dataclass(frozen=True)
class Tap:
    """A node to tap.

    Attributes:
        name: of the traced node.
        axes: what to average over; empty where the output is `[N, D]` already.
        channels: numbers left after it.
    """

    name: str
    axes: tuple[int, ...]
    channels: int


@dataclass(frozen=True)
class Cut:
    """Where the network is opened.

    Attributes:
        graph: the traced network.
        last_layer: name of the module that is its last layer.
        kind: "linear", or "other" where it is not one linear layer on `[N, D]`.
        features: what enters the last layer.
        taps: the earlier nodes, in the order of the data.
    """

    graph: fx.GraphModule
    last_layer: str
    kind: str
    features: Tap
    taps: tuple[Tap, ...]


@dataclass(frozen=True)
class LastLayer:
    """The last node that owns parameters.

    Attributes:
        name: of its module.
        node: the traced node.
        width: numbers that enter it (per position).
    """

    name: str
    node: fx.Node
    width: int


def trace(module: nn.Module, tracer: fx.Tracer | None = None) -> fx.GraphModule:
    """Trace a network with torch.fx.

    Args:
        module: in evaluation mode.
        tracer: None: torch.fx's own.

    Returns:
        The traced network; it shares the module's parameters.

    Raises:
        InputError: its forward pass depends on values, so that no one graph describes it.
    """
    tracer = tracer or fx.Tracer()
    try:
        graph = tracer.trace(module)
        return fx.GraphModule(tracer.root, graph, type(module).__name__)
    except Exception as error:  # fx raises TraceError, TypeError, whatever the forward pass raises on proxies
        raise untraceable(error, module, tracer) from None


def last_layer(graph: fx.GraphModule) -> LastLayer:
    """The last node that owns parameters: a linear layer, or a convolution in its place.

    Raises:
        InputError: there is none, or it is neither.
    """
    modules = dict(graph.named_modules())
    owners = [n for n in graph.graph.nodes if n.op == "call_module" and any(True for _ in modules[str(n.target)].parameters())]
    if not owners:
        raise InputError("the network has no layer with parameters", "give a trained classifier")
    node = owners[-1]
    layer = modules[str(node.target)]
    if isinstance(layer, nn.Linear):
        return LastLayer(str(node.target), node, layer.in_features)
    if isinstance(layer, nn.Conv2d) and layer.groups == 1:
        return LastLayer(str(node.target), node, layer.in_channels)
    found = f"node {node.name}, a {type(layer).__name__}"
    raise InputError(f"the last layer of the network is {found}, expected a Linear or Conv2d", "end the network with its classifier layer")


def cut(module: nn.Module, height: int, width: int) -> Cut:
    """Trace the network and find where to open it.

    Args:
        module: in evaluation mode, on the CPU.
        height: of the input, pixels.
        width: of the input, pixels.

    Returns:
        The cut.

    Raises:
        InputError: the network cannot be traced, does not take pictures of this size, or nothing can be tapped.
    """
    graph = trace(module)
    last = last_layer(graph)
    shapes = _shapes(graph, height, width)
    larger = _larger_shapes(graph, height, width)
    entering = last.node.all_input_nodes[0]
    features = _tap(entering, shapes, larger) or _features(entering, shapes, last.width)
    linear = isinstance(graph.get_submodule(last.name), nn.Linear) and not features.axes and _is_output(last.node)
    candidates = [tap for node in _narrow_nodes(graph, shapes, last.node) if (tap := _tap(node, shapes, larger)) is not None]
    taps = _choose(candidates, (larger, height + PROBE_GROWTH_PX[0]) if larger else (shapes, height), features)
    return Cut(graph, last.name, "linear" if linear else "other", features, taps)


def _shapes(graph: fx.GraphModule, height: int, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors that depend on the picture, by node name; on the meta device where the network allows it."""
    try:
        return _propagate(_without_numbers(graph), torch.zeros(2, 3, height, width, device="meta"))
    except Exception:  # a trace that reads a tensor's value (regnet) needs real ones
        pass
    try:
        with torch.no_grad():
            return _propagate(graph, torch.zeros(2, 3, height, width))
    except Exception as error:
        reason = (str(error.__cause__ or error) or type(error).__name__).strip().splitlines()[0]
        raise InputError(f"the network does not take pictures of {height}×{width} px: {reason}", "give another --input-size") from None


def _larger_shapes(graph: fx.GraphModule, height: int, width: int) -> Mapping[str, tuple[int, ...]]:
    """The same for a larger picture; empty where the network takes one size only."""
    tall, wide = height + PROBE_GROWTH_PX[0], width + PROBE_GROWTH_PX[1]
    try:
        return _propagate(_without_numbers(graph), torch.zeros(2, 3, tall, wide, device="meta"))
    except Exception:
        pass
    try:
        with torch.no_grad():
            return _propagate(graph, torch.zeros(1, 3, tall, wide))
    except Exception:
        return {}


def _without_numbers(graph: fx.GraphModule) -> fx.GraphModule:
    """A copy on the meta device; the weights are not copied on the way."""
    numbers: dict[int, Any] = {id(value): nn.Parameter(value.to("meta"), requires_grad=False) for value in graph.parameters()}
    numbers |= {id(value): value.to("meta") for value in graph.buffers()}
    return copy.deepcopy(graph, numbers)


def _propagate(graph: fx.GraphModule, image: Tensor) -> dict[str, tuple[int, ...]]:
    recorder = _ShapeRecorder(graph)
    recorder.run(image)
    return recorder.shapes


class _ShapeRecorder(fx.Interpreter):
    """Runs a traced network and keeps the shape of every tensor; `()` for a tuple of them: alive, but nothing to tap."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph, garbage_collect_values=True)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run_node(self, node: fx.Node) -> Any:
        """Run one node and note its shape."""
        result = super().run_node(node)
        if isinstance(result, Tensor):
            self.shapes[node.name] = tuple(result.shape)
        elif isinstance(result, (tuple, list)) and any(isinstance(part, Tensor) for part in result):
            self.shapes[node.name] = ()
        return result


def _narrow_nodes(graph: fx.GraphModule, shapes: Mapping[str, tuple[int, ...]], end: fx.Node) -> list[fx.Node]:
    """Nodes before `end` after which exactly one value that depends on the picture is alive: their own."""
    nodes: list[fx.Node] = list(graph.graph.nodes)
    position = {node: number for number, node in enumerate(nodes)}
    depends: set[fx.Node] = set()
    for node in nodes:
        if node.op == "placeholder" or any(source in depends for source in node.all_input_nodes):
            depends.add(node)
    carries = [node for node in nodes if node in depends and node.name in shapes]
    last_use = {node: max((position[user] for user in node.users), default=-1) for node in carries}
    found: list[fx.Node] = []
    alive: set[fx.Node] = set()
    for node in nodes[: position[end]]:
        if node in last_use:
            alive.add(node)
        alive = {value for value in alive if last_use[value] > position[node]}
        if alive == {node} and node.op != "placeholder":
            found.append(node)
    return found


def _tap(node: fx.Node, shapes: Mapping[str, tuple[int, ...]], larger: Mapping[str, tuple[int, ...]]) -> Tap | None:
    """How to average a node's output over its positions; None where that cannot be told or there are none."""
    shape, grown = shapes.get(node.name, ()), larger.get(node.name, ())
    if len(shape) not in (3, 4) or shape[0] != 2:
        return None
    if len(grown) == len(shape):
        axes = tuple(axis for axis in range(1, len(shape)) if shape[axis] != grown[axis])
        expected = len(shape) - 2
        return Tap(node.name, axes, _channels(shape, axes)) if len(axes) == expected and _regular(axes, len(shape)) else None
    return _fixed_tap(node.name, shape)


def _fixed_tap(name: str, shape: tuple[int, ...]) -> Tap | None:
    """The same by shape alone, for a network that takes one size: tokens are `[N, L, D]`, maps have two equal sides."""
    if len(shape) == 3:
        return Tap(name, (1,), shape[2])
    if shape[2] == shape[3] and shape[2] > 1:
        return Tap(name, (2, 3), shape[1])
    return Tap(name, (1, 2), shape[3]) if shape[1] == shape[2] and shape[1] > 1 else None


def _regular(axes: tuple[int, ...], rank: int) -> bool:
    return axes in ((1,), (2,)) if rank == 3 else axes in ((1, 2), (2, 3))


def _channels(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod(size for axis, size in enumerate(shape) if axis and axis not in axes)


def _features(node: fx.Node, shapes: Mapping[str, tuple[int, ...]], width: int) -> Tap:
    shape = shapes.get(node.name, ())
    if len(shape) == 2:
        return Tap(node.name, (), shape[1])
    if len(shape) == 4 and shape[1] == width:
        return Tap(node.name, (2, 3), width)
    found = f"{node.name} of shape {shape[1:]}"
    raise InputError(f"what enters the last layer is {found}, expected {width} numbers", "end the network with a linear layer")


def _is_output(node: fx.Node) -> bool:
    return all(user.op == "output" for user in node.users)


def _choose(candidates: list[Tap], sizes: tuple[Mapping[str, tuple[int, ...]], int], features: Tap) -> tuple[Tap, ...]:
    """The last candidate of each stage but the final one; where there are no stages, a few evenly spaced ones.

    Stages are told by the sizes on the larger picture where there is one: on a tiny one the last of them are a pixel each.
    """
    shapes, height = sizes
    maps = [tap for tap in candidates if len(tap.axes) == 2 and tap.name != features.name]
    stages: dict[int, Tap] = {}
    for tap in maps:
        side = shapes[tap.name][tap.axes[0]]
        stages[round(math.log2(height / side))] = tap
    ordered = [stages[stage] for stage in sorted(stages)]
    if len(ordered) > 1:
        return tuple(ordered[:-1][-MOST_TAPS:])
    tokens = [tap for tap in candidates if len(tap.axes) == 1 and tap.channels == features.channels]
    pool = tokens or maps
    if not pool:
        raise InputError("the network has no place that everything flows through", "it needs a trunk: blocks one after the other")
    picks = sorted({round(len(pool) * part / (TOKEN_TAPS + 1)) for part in range(1, TOKEN_TAPS + 1)})
    return tuple(pool[min(pick, len(pool) - 1)] for pick in picks)
