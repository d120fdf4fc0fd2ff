"""A network in the form that ONNX Runtime's quantiser and its integer kernels do best with, and what cannot be quantised at all.

The quantiser knows no hard-swish and no mean over positions: it leaves them in float32 and puts a conversion before and behind each, which
costs more than the integer convolutions between them gain. Both are written here in operators that have integer kernels; what they compute
stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import NodeProto, helper, numpy_helper

from edge_agent.errors import InputError

GATE = "HardSigmoid"
GATE_SLOPE, GATE_OFFSET = 1 / 6, 0.5
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
CARRIERS = ("MaxPool", "Concat", "Split", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Relu", "Clip")
ELEMENTWISE = ("Add", "Mul", "Sigmoid", "LeakyRelu", GATE, "GlobalAveragePool", "AveragePool")
# With weights, or with graphs of their own, and unknown to the quantiser: the work would stay in float32.
NOT_QUANTISABLE = frozenset({"LSTM", "GRU", "RNN", "DeformConv", "If", "Loop", "Scan"})
HINT = "build it without --quantize int8, or with --quantize float16"


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite a network for the quantiser.

    Args:
        model: with its weights inside; it is left as it is.

    Returns:
        A copy: hard-swish is a gate and a product, a mean over positions is a pooling, every node has a name of its own.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    ranks = _ranks(model)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [new for node in graph.node for new in _rewritten(node, constants, ranks)]
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type}_{number}"
    del graph.node[:]
    graph.node.extend(nodes)
    return copied


def check(model: onnx.ModelProto, name: str) -> None:
    """Refuse a network that int8 cannot serve, before any picture is run through it.

    Args:
        model: from `prepared`.
        name: of the network, for the error.

    Raises:
        InputError: it holds an operator with weights that the quantiser does not know, or none that it does.
    """
    foreign = next((node for node in model.graph.node if node.op_type in NOT_QUANTISABLE or node.domain not in ("", "ai.onnx")), None)
    if foreign is not None:
        where = f"the operator {foreign.op_type} (output {foreign.output[0]!r})"
        raise InputError(f"{name} cannot be quantised to int8: {where} has no integer form", HINT)
    if not any(is_weighted(node, model) for node in model.graph.node if node.name not in kept_in_float(model)):
        found = ", ".join(sorted({node.op_type for node in model.graph.node})[:6])
        raise InputError(f"{name} cannot be quantised to int8: nothing but its last layer multiplies with weights (it has {found})", HINT)


def types_to_quantise(model: onnx.ModelProto) -> list[str]:
    """The operators to quantise.

    With layer normalisation, which has no integer kernel, the stream between the blocks stays in float32: few of its channels are a hundred
    times larger than the rest, and 8 bits for all of them lose the rest.
    """
    normalised = any(node.op_type == "LayerNormalization" for node in model.graph.node)
    return sorted([*WEIGHTED, *(() if normalised else (*CARRIERS, *ELEMENTWISE))])


def kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay in float32: the last layer, the joining of the taps, and a first convolution that does not pay.

    The last layer is small and decides; the taps have scales of their own. A first convolution reads three channels, for which integer
    kernels have no fast path; where a pooling follows, the conversion behind it costs more than that.
    """
    return [*_last_layer(model), *_joining(model), *_stem(model)]


def is_weighted(node: NodeProto, model: onnx.ModelProto) -> bool:
    """Whether a node multiplies with numbers of the network's own."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return node.op_type in WEIGHTED and any(name in constants for name in node.input[:2])


def _rewritten(node: NodeProto, constants: dict[str, onnx.TensorProto], ranks: dict[str, int]) -> Iterator[NodeProto]:
    source, result = node.input[0] if node.input else "", node.output[0]
    if node.op_type == "HardSwish":
        yield helper.make_node(GATE, [source], [f"{result}/gate"], alpha=GATE_SLOPE, beta=GATE_OFFSET)
        yield helper.make_node("Mul", [source, f"{result}/gate"], [result])
    elif node.op_type == "ReduceMean" and ranks.get(source) == 4 and _axes(node, constants) == {2, 3}:
        keeps = next((attribute.i for attribute in node.attribute if attribute.name == "keepdims"), 1)
        yield helper.make_node("GlobalAveragePool", [source], [result if keeps else f"{result}/pooled"])
        if not keeps:
            yield helper.make_node("Squeeze", [f"{result}/pooled", node.input[1]], [result])
    else:
        yield node


def _axes(node: NodeProto, constants: dict[str, onnx.TensorProto]) -> set[int]:
    if len(node.input) < 2 or node.input[1] not in constants:
        return set()
    return {int(axis) % 4 for axis in numpy_helper.to_array(constants[node.input[1]]).reshape(-1)}


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values if value.type.tensor_type.HasField("shape")}


def _last_layer(model: onnx.ModelProto) -> list[str]:
    """From the logits back to the first node that multiplies with weights, along the first inputs."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found, node = list[str](), makers.get(model.graph.output[0].name)
    while node is not None:
        found.append(node.name)
        if is_weighted(node, model):
            return found
        node = next((makers[name] for name in node.input if name in makers), None)
    return []


def _joining(model: onnx.ModelProto) -> list[str]:
    taps = model.graph.output[-1].name
    return [node.name for node in model.graph.node if taps in node.output and node.op_type == "Concat"]


def _stem(model: onnx.ModelProto) -> list[str]:
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    first = readers.get(model.graph.input[0].name, [])
    if len(first) != 1 or first[0].op_type != "Conv":
        return []
    found, following = [first[0]], readers.get(first[0].output[0], [])
    while following and following[0].op_type in ("Relu", "Clip", "Sigmoid", GATE, "Mul"):
        found += [node for node in following if node not in found]
        following = readers.get(following[-1].output[0], [])
    pooled = any(node.op_type == "MaxPool" for node in following)
    return [] if pooled else [node.name for node in found]
