"""A traced network in two: below, what is frozen and need run only once for a picture; above, what is trained.

It can be opened after a node when nothing above reads anything of the picture but that node's value.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

from torch import Tensor, fx, nn
from torchvision.ops import StochasticDepth

from export import taps


@dataclass(frozen=True, eq=False)
class Halves:
    """Both parts; they share the modules and the parameters of the network.

    Attributes:
        below: image → the value, or None where training begins at the picture itself.
        above: the value → logits.
    """

    below: fx.GraphModule | None
    above: fx.GraphModule


class TrainingTracer(fx.Tracer):
    """Traces a network so that it can be trained: stochastic depth stays a module, which acts in training mode only."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether a module is one node."""
        return isinstance(module, StochasticDepth) or super().is_leaf_module(module, name)


def open_below(graph: fx.GraphModule, trained: frozenset[int]) -> Halves:
    """Open a network as late as what is trained allows.

    Args:
        graph: traced.
        trained: `id` of each trained parameter.

    Returns:
        The halves.
    """
    nodes, first = list(graph.graph.nodes), first_trained(graph, trained)
    places = [node for node in openings(graph) if nodes.index(node) < first and node.op != "placeholder"]
    return halves(graph, places[-1]) if places else Halves(None, graph)


def openings(graph: fx.GraphModule) -> list[fx.Node]:
    """The nodes after which the network can be opened, in the order of the data; the picture itself is the first."""
    nodes: list[fx.Node] = list(graph.graph.nodes)
    position = {node: place for place, node in enumerate(nodes)}
    depends = depending(graph)
    furthest, found = -1, list[fx.Node]()
    for node in nodes:
        if node not in depends or node.op == "output":
            continue
        if furthest <= position[node] and not any(user.target is operator.getitem for user in node.users):  # that may be a tuple
            found.append(node)
        furthest = max([furthest, *(position[user] for user in node.users)])
    return found


def halves(graph: fx.GraphModule, place: fx.Node) -> Halves:
    """Open a network after a node.

    Args:
        graph: traced.
        place: one of its `openings`.
    """
    below, above = fx.Graph(), fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    for node in graph.graph.nodes:
        if node.op != "output":
            values[node] = below.node_copy(node, lambda old: values[old])
        if node is place:
            break
    below.output(values[place])
    depends = depending(graph)
    after = False
    rest: dict[fx.Node, fx.Node] = {place: above.placeholder("value")}
    for node in graph.graph.nodes:
        if node.op == "output":
            above.output(fx.node.map_arg(node.args[0], lambda old: rest[old]))
        elif node not in depends or after:
            rest[node] = above.node_copy(node, lambda old: rest[old])
        after = after or node is place
    return Halves(_needed(graph, below), _needed(graph, above))


def _needed(root: fx.GraphModule, part: fx.Graph) -> fx.GraphModule:
    """A part with what its output needs, and no other modules."""
    whole = fx.GraphModule(root, part)
    whole.graph.eliminate_dead_code()
    return fx.GraphModule(root, whole.graph)


def first_trained(graph: fx.GraphModule, trained: frozenset[int]) -> int:
    """Place of the first node that works on the picture with a trained parameter; the number of nodes where there is none."""
    nodes: list[fx.Node] = list(graph.graph.nodes)
    depends, touched = depending(graph), set[fx.Node]()
    for place, node in enumerate(nodes):
        if any(id(number) in trained for number in parameters_of(graph, node)) or any(use in touched for use in node.all_input_nodes):
            touched.add(node)
            if node in depends:
                return place
    return len(nodes)


def parameters_of(graph: fx.GraphModule, node: fx.Node) -> list[nn.Parameter]:
    """The parameters that a node reads itself."""
    if node.op == "call_module":
        return list(graph.get_submodule(str(node.target)).parameters())
    if node.op == "get_attr":
        owner, _, name = str(node.target).rpartition(".")
        value: object = getattr(graph.get_submodule(owner), name, None)
        return [value] if isinstance(value, nn.Parameter) else []
    return []


def depending(graph: fx.GraphModule) -> set[fx.Node]:
    """The nodes whose value depends on the picture."""
    found: set[fx.Node] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder" or any(use in found for use in node.all_input_nodes):
            found.add(node)
    return found


def trace(module: nn.Module) -> fx.GraphModule:
    """Trace a network for training, in evaluation mode.

    Args:
        module: in evaluation mode; its parameters are shared.

    Raises:
        InputError: torch.fx cannot trace it.
    """
    return taps.trace(module, TrainingTracer())


def run_below(half: fx.GraphModule | None, images: Tensor) -> Tensor:
    """What enters the trained part, for images `[N, 3, H, W]`."""
    if half is None:
        return images
    value: Tensor = half(images)
    return value
