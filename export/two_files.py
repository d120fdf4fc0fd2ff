"""A backbone that one ONNX file cannot hold, cut into two where one value is alive, each of them an ordinary ONNX file.

External data, ONNX's own way beyond 2 GiB, has no place in an artifact: a runtime would read it past what was verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from edge_agent.errors import InputError
from export import clean
from export.taps import Tap

ROOM_BYTES = 64 * 1024**2  # for everything in a file that is not a number of the network
CARRIED, EARLIER = "carried", "earlier_taps"  # names of what the second file takes


@dataclass(frozen=True)
class Split:
    """Where a traced network is cut.

    Attributes:
        node: the value that is carried over.
        first, second: bytes of the numbers before and behind it.
    """

    node: fx.Node
    first: int
    second: int


class First(nn.Module):
    """The network up to the cut: image → the carried value, and what was tapped before it, averaged."""

    def __init__(self, graph: fx.GraphModule, taps: tuple[Tap, ...]) -> None:
        super().__init__()
        self.part, self.taps = graph, taps

    def forward(self, image: Tensor) -> Any:
        """Run it once."""
        carried, *values = self.part(image)
        averaged = [_averaged(*one) for one in zip(values, self.taps, strict=True)]
        return (carried, torch.cat(averaged, dim=1)) if averaged else (carried,)


class Second(nn.Module):
    """The network behind the cut, and the backbone's tail behind that."""

    def __init__(self, graph: fx.GraphModule, features: Tap, taps: tuple[Tap, ...], tail: nn.Module) -> None:
        super().__init__()
        self.part, self.points, self.tail = graph, (features, *taps), tail

    def forward(self, carried: Tensor, earlier: Tensor | None = None) -> Any:
        """Run it once; the taps of both files stand side by side in the order of the data."""
        logits, *values = self.part(carried)
        features, *later = [_averaged(*one) for one in zip(values, self.points, strict=True)]
        taps = later if earlier is None else [earlier, *later]
        return self.tail(logits, features, torch.cat(taps, dim=1))


def needed(module: nn.Module) -> bool:
    """Whether the numbers of a network are too many for one ONNX file."""
    return _bytes(module) > clean.LIMIT_BYTES - ROOM_BYTES


def halves(graph: fx.GraphModule, features: Tap, taps: tuple[Tap, ...], tail: nn.Module) -> tuple[First, Second]:
    """Cut a traced network into two of about the same size.

    Args:
        graph: whose outputs are logits, features and the taps, in this order.
        features: how what enters the last layer is averaged.
        taps: the same of the taps, in the order of the data.
        tail: logits, features and taps → the outputs of the second part.

    Returns:
        Both parts; they share the graph's numbers.

    Raises:
        InputError: there is no place to cut, or a half is still too large for one file.
    """
    split = place(graph)
    if max(split.first, split.second) > clean.LIMIT_BYTES - ROOM_BYTES:
        found = f"the network has {split.first + split.second} bytes, two ONNX files hold {2 * clean.LIMIT_BYTES}"
        raise InputError(found, "take a smaller network")
    nodes = list(graph.graph.nodes)
    result, *tapped = nodes[-1].args[0]
    before = set(nodes[: nodes.index(split.node) + 1])
    early = [node for node in tapped[1:] if node in before]
    late = [node for node in tapped[1:] if node not in before]
    first, second = _before(graph, split.node, early), _behind(graph, split.node, [result, tapped[0], *late])
    return First(first, taps[: len(early)]), Second(second, features, taps[len(early) :], tail)


def _averaged(value: Tensor, tap: Tap) -> Tensor:
    return value.mean(tap.axes) if tap.axes else value


def place(graph: fx.GraphModule) -> Split:
    """The cut that leaves the larger part smallest.

    Args:
        graph: whose outputs are logits, features and taps.

    Raises:
        InputError: nothing in it can be cut.
    """
    nodes = list(graph.graph.nodes)
    output = nodes[-1]
    seen, total, sizes = set[str](), 0, list[int]()
    for node in nodes:
        if node.op in ("call_module", "get_attr") and str(node.target) not in seen:
            seen.add(str(node.target))
            total += _size(graph, node)
        sizes.append(total)
    depends = _depending(nodes)
    found: list[Split] = []
    for place, node in enumerate(nodes[:-1]):
        if node in depends and node.op != "placeholder" and _is_narrow(nodes, place, depends, output):
            found.append(Split(node, sizes[place], total - sizes[place]))
    if not found:
        raise InputError("the network is too large for one ONNX file, and has no place where it could be cut", "take a smaller network")
    return min(found, key=lambda split: max(split.first, split.second))


def _depending(nodes: list[fx.Node]) -> set[fx.Node]:
    depends: set[fx.Node] = set()
    for node in nodes:
        if node.op == "placeholder" or any(source in depends for source in node.all_input_nodes):
            depends.add(node)
    return depends


def _is_narrow(nodes: list[fx.Node], place: int, depends: set[fx.Node], output: fx.Node) -> bool:
    """Whether nothing that depends on the picture goes past a node, but for what was tapped."""
    before = set(nodes[: place + 1])
    users = [(value, user) for value in before if value in depends and value is not nodes[place] for user in value.users]
    return all(user in before or user is output for _, user in users) and not any(
        value in before for value in output.args[0][:2]  # type: ignore[index, union-attr]  # logits and features come behind
    )


def _before(graph: fx.GraphModule, end: fx.Node, early: list[fx.Node]) -> fx.GraphModule:
    copied, mapping = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in graph.graph.nodes:
        mapping[node] = copied.node_copy(node, lambda source: mapping[source])
        if node is end:
            break
    copied.output((mapping[end], *(mapping[node] for node in early)))
    return _pruned(graph, copied)


def _behind(graph: fx.GraphModule, start: fx.Node, results: list[fx.Node]) -> fx.GraphModule:
    """What comes after a node; constants from before it are taken along."""
    nodes = list(graph.graph.nodes)
    depends = _depending(nodes)
    copied = fx.Graph()
    mapping = {start: copied.placeholder(CARRIED)}
    behind = nodes.index(start)
    for place, node in enumerate(nodes[:-1]):
        if node is not start and (place > behind or node not in depends):
            mapping[node] = copied.node_copy(node, lambda source: mapping[source])
    copied.output(tuple(mapping[node] for node in results))
    return _pruned(graph, copied)


def _pruned(graph: fx.GraphModule, copied: fx.Graph) -> fx.GraphModule:
    module = fx.GraphModule(graph, copied)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _size(graph: fx.GraphModule, node: fx.Node) -> int:
    if node.op == "call_module":
        return _bytes(graph.get_submodule(str(node.target)))
    value: Any = graph
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0


def _bytes(module: nn.Module) -> int:
    return sum(number.numel() * number.element_size() for number in (*module.parameters(), *module.buffers()))
