from __future__ import annotations

import numpy as np
import onnx
import pytest
from gated import gated, images, ran, tapped_model

from export import int8, quantisable
from export.gates import CONSTANTS, LEVELS, with_integer_gates


def silent(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def quantised() -> onnx.ModelProto:
    pictures = images(64)
    return int8.to_int8(quantisable.prepared(tapped_model(gated())), [pictures[:32], pictures[32:]], 64, silent)


def test_the_conversion_is_the_gate() -> None:
    """What the two pairs of constants compute, in numpy."""
    x = np.linspace(-6, 6, 2001)
    stored = np.clip(np.round(x / CONSTANTS["gate/scale_in"]) + CONSTANTS["gate/zero_in"], 0, 255)
    found = stored * CONSTANTS["gate/scale_out"]
    expected = np.clip(x / 6 + 0.5, 0, 1)
    assert np.abs(found - expected).max() <= 1 / LEVELS + 1e-6
    assert found[1000] == pytest.approx(0.5) and found[0] == 0


def test_gates_between_conversions_are_tables(quantised: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in quantised.graph.node]
    assert kinds.count("LeakyRelu") == 4, "three hard-swishes and the squeeze's gate; the first stays in float32"
    assert kinds.count("HardSigmoid") == 1
    slopes = [attribute.f for node in quantised.graph.node if node.op_type == "LeakyRelu" for attribute in node.attribute]
    assert slopes == [1.0] * 4


def test_nothing_that_was_replaced_is_left(quantised: onnx.ModelProto) -> None:
    read = {name for node in quantised.graph.node for name in node.input}
    assert {tensor.name for tensor in quantised.graph.initializer} <= read


def test_the_quantised_network_still_computes_hard_swish(quantised: onnx.ModelProto) -> None:
    expected, found = ran(tapped_model(gated()), images(32, 5)), ran(quantised, images(32, 5))
    assert np.sqrt(((found[0] - expected[0]) ** 2).mean()) < 0.12 * expected[0].std()


def test_a_network_without_gates_is_left_alone() -> None:
    model = onnx.ModelProto()
    model.graph.node.add(op_type="Relu", input=["a"], output=["b"])
    before = model.SerializeToString()
    assert with_integer_gates(model) == 0 and model.SerializeToString() == before


def test_a_gate_that_is_not_converted_is_left_alone() -> None:
    model = onnx.ModelProto()
    model.graph.node.add(op_type="HardSigmoid", input=["a"], output=["b"])
    model.graph.node.add(op_type="Mul", input=["a", "b"], output=["c"])
    assert with_integer_gates(model) == 0 and model.graph.node[0].op_type == "HardSigmoid"
