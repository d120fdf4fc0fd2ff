from __future__ import annotations

import numpy as np
import onnx
import pytest
from gated import gated, images, ran, tapped_model
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edge_agent.errors import InputError
from export.quantisable import check, is_weighted, kept_in_float, prepared, types_to_quantise


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return tapped_model(gated())


def types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_a_prepared_network_computes_the_same(exported: onnx.ModelProto) -> None:
    found = prepared(exported)
    for one, other in zip(ran(exported, images()), ran(found, images()), strict=True):
        assert np.abs(one - other).max() < 1e-5
    onnx.checker.check_model(found)


def test_hard_swish_becomes_a_gate_and_a_mean_a_pooling(exported: onnx.ModelProto) -> None:
    before, found = types(exported), types(prepared(exported))
    assert before.count("HardSwish") == 4 and "HardSwish" not in found
    assert found.count("HardSigmoid") == before.count("HardSigmoid") + 4
    assert "ReduceMean" in before and "ReduceMean" not in found and found.count("GlobalAveragePool") == before.count("ReduceMean")


def test_what_is_prepared_is_left_as_it_was(exported: onnx.ModelProto) -> None:
    before = exported.SerializeToString(deterministic=True)
    prepared(exported)
    assert exported.SerializeToString(deterministic=True) == before


def test_every_node_has_a_name_of_its_own(exported: onnx.ModelProto) -> None:
    names = [node.name for node in prepared(exported).graph.node]
    assert all(names) and len(set(names)) == len(names)


def test_the_last_layer_the_joining_and_the_first_convolution_stay(exported: onnx.ModelProto) -> None:
    model = prepared(exported)
    kept = {node.name: node.op_type for node in model.graph.node if node.name in kept_in_float(model)}
    assert sorted(kept.values()) == ["Concat", "Conv", "Gemm", "HardSigmoid", "Mul"]
    first = next(node for node in model.graph.node if node.input[0] == "image")
    assert first.name in kept


def test_a_first_convolution_before_a_pooling_is_quantised() -> None:
    model = prepared(tapped_model(gated(pooled_stem=True)))
    kept = [node.op_type for node in model.graph.node if node.name in kept_in_float(model)]
    assert sorted(kept) == ["Concat", "Gemm"]


def test_with_layer_normalisation_only_what_has_weights_is_quantised(exported: onnx.ModelProto) -> None:
    assert {"Add", "Mul", "Conv", "GlobalAveragePool"} <= set(types_to_quantise(exported))
    normalised = onnx.ModelProto()
    normalised.CopyFrom(exported)
    normalised.graph.node.append(helper.make_node("LayerNormalization", ["a", "b"], ["c"]))
    assert types_to_quantise(normalised) == ["Conv", "ConvTranspose", "Gemm", "MatMul"]


def graph_of(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.zeros((4, 4), np.float32), "weight")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 4])
    graph = helper.make_graph(list(nodes), "graph", [image], [logits], [weight])
    return prepared(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]))


def test_a_network_that_is_its_last_layer_cannot_be_quantised() -> None:
    model = graph_of(helper.make_node("Relu", ["image"], ["x"]), helper.make_node("MatMul", ["x", "weight"], ["logits"]))
    with pytest.raises(InputError, match=r"int8: nothing but its last layer multiplies .*MatMul, Relu.*hint: .*float16"):
        check(model, "tiny")


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "DeformConv", "If"])
def test_an_operator_with_weights_and_no_integer_form_is_named(kind: str) -> None:
    model = graph_of(helper.make_node(kind, ["image"], ["x"]), helper.make_node("MatMul", ["x", "weight"], ["logits"]))
    with pytest.raises(InputError, match=f"the operator {kind} .output 'x'. has no integer form"):
        check(model, "tiny")


def test_a_foreign_operator_is_named() -> None:
    model = graph_of(helper.make_node("Attention", ["image"], ["x"], domain="com.microsoft"), helper.make_node("Relu", ["x"], ["logits"]))
    with pytest.raises(InputError, match="the operator Attention"):
        check(model, "tiny")


def test_a_network_with_convolutions_passes(exported: onnx.ModelProto) -> None:
    check(prepared(exported), "gated")


def test_products_of_activations_are_no_weights() -> None:
    model = graph_of(helper.make_node("MatMul", ["image", "image"], ["logits"]))
    assert not is_weighted(model.graph.node[0], model)


def test_a_mean_over_channels_or_of_unknown_rank_is_left() -> None:
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    model = graph_of(helper.make_node("Relu", ["image"], ["x"]))
    graph = model.graph
    graph.initializer.append(axes)
    graph.node.append(helper.make_node("ReduceMean", ["x", "axes"], ["logits"]))
    assert types(prepared(model)) == ["Relu", "ReduceMean"]


def test_layer_normalised_networks_of_torchvision_are_not_stemmed() -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cut = nn.Conv2d(3, 8, 4, 4)
            self.block = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU())
            self.head = nn.Linear(8, 4)

        def forward(self, image):  # type: ignore[no-untyped-def]
            x = self.cut(image).flatten(2).transpose(1, 2)
            x = x + self.block(x)
            x = x + self.block(x)
            return self.head(x.mean(1))

    model = prepared(tapped_model(Patches().eval()))
    check(model, "patches")
    assert "Add" not in types_to_quantise(model)
