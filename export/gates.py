"""Hard gates in integers: clip(x/6 + 1/2, 0, 1) is what an 8-bit conversion does anyway, so it needs no operator of its own.

A byte q stands for (q − zero point)·scale. Converted with scale 6/254 and zero point 127, a number x becomes round(254·x/6) + 127,
held within 0…255: read with scale 1/254 and zero point 0, that is the gate, no more than 0.004 off where it saturates. The integer
kernels do this with a table of 256 entries, for which a leaky ReLU of slope 1 stands in the graph: it changes nothing, and has such
a kernel.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from export.quantisable import GATE

LEVELS = 254
SCALE_IN, ZERO_IN = "gate/scale_in", "gate/zero_in"
SCALE_OUT, ZERO_OUT = "gate/scale_out", "gate/zero_out"
CONSTANTS: dict[str, NDArray[Any]] = {
    SCALE_IN: np.array(6 / LEVELS, np.float32), ZERO_IN: np.array(LEVELS // 2, np.uint8),
    SCALE_OUT: np.array(1 / LEVELS, np.float32), ZERO_OUT: np.array(0, np.uint8),
}  # fmt: skip


def with_integer_gates(model: onnx.ModelProto) -> int:
    """Replace, in place, every gate between two conversions.

    Args:
        model: quantised; its gates are hard sigmoids with slope 1/6.

    Returns:
        How many were replaced.
    """
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    count = sum(_replace(node, readers) for node in model.graph.node if node.op_type == GATE)
    if count:
        read = {name for node in model.graph.node for name in node.input}
        kept = [tensor for tensor in model.graph.initializer if tensor.name in read]  # the scales that were replaced are not
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in CONSTANTS.items())
    return count


def _replace(gate: NodeProto, readers: dict[str, list[NodeProto]]) -> bool:
    """Whether the gate's output is converted once, and read as such everywhere: then the conversion is the gate."""
    conversions = readers[gate.output[0]]
    if len(conversions) != 1 or conversions[0].op_type != "QuantizeLinear":
        return False
    readings = readers[conversions[0].output[0]]
    if not all(reading.op_type == "DequantizeLinear" for reading in readings):
        return False
    gate.op_type = "LeakyRelu"
    del gate.attribute[:]
    gate.attribute.append(helper.make_attribute("alpha", 1.0))
    conversions[0].input[1:3] = [SCALE_IN, ZERO_IN]
    for reading in readings:
        reading.input[1:3] = [SCALE_OUT, ZERO_OUT]
    return True
