"""The last part of `backbone.onnx`, put behind a network that exists as ONNX only: temperature and context map, in float32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.backbone_graph import SMALLEST_NORM
from export.signatures import BACKBONE_INPUT, BACKBONE_OUTPUTS
from export.statistics import ContextMap

TAPPED_OUTPUTS = ("logits", "features", "taps")


def with_tail(model: onnx.ModelProto, temperature: float, context: ContextMap) -> onnx.ModelProto:
    """The network with calibrated logits, features and context as outputs.

    Args:
        model: image → logits, features, taps; it is left as it is.
        temperature: divisor of the logits.
        context: mean and matrix of the context.

    Returns:
        A copy that computes what `backbone_graph.Backbone` does.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    own = {TAPPED_OUTPUTS[0]: "tail/logits"}  # `logits` shall mean the calibrated ones
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = own.get(name, name)
    constants = {
        "temperature": np.array(temperature, np.float32), "mean": context.mean, "matrix": context.matrix,
        "axes": np.array([1], np.int64), "smallest": np.array(SMALLEST_NORM, np.float32),
    }  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(value), f"tail/{name}") for name, value in constants.items())
    graph.node.extend(_nodes())
    classes, features = (value.type.tensor_type.shape.dim[1].dim_value for value in graph.output[:2])
    del graph.output[:]
    widths = (classes, features, context.matrix.shape[1])
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name, width in zip(BACKBONE_OUTPUTS, widths, strict=True)
    )
    graph.input[0].name = BACKBONE_INPUT
    return copied


def _nodes() -> list[onnx.NodeProto]:
    steps = (
        ("Div", ["tail/logits", "tail/temperature"], "logits"),
        ("Concat", ["features", "taps"], "tail/raw"),
        ("Sub", ["tail/raw", "tail/mean"], "tail/centred"),
        ("MatMul", ["tail/centred", "tail/matrix"], "tail/mapped"),
        ("ReduceL2", ["tail/mapped", "tail/axes"], "tail/norm"),
        ("Max", ["tail/norm", "tail/smallest"], "tail/divisor"),
        ("Div", ["tail/mapped", "tail/divisor"], "context"),
    )
    nodes = [helper.make_node(kind, inputs, [result], name=f"tail_{place}") for place, (kind, inputs, result) in enumerate(steps)]
    nodes[1].attribute.append(helper.make_attribute("axis", 1))
    return nodes
