"""Every place in an ONNX file where data, graphs or operators can hide is found, with the package `onnx` as the one who hides them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import ARTIFACT

from edge_agent.errors import ArtifactError
from edge_agent.onnx_rules import check_graph
from edge_agent.onnx_wire import bytes_field

onnx = pytest.importorskip("onnx")
helper = onnx.helper
GRAPHS = sorted(path.relative_to(ARTIFACT).as_posix() for path in ARTIFACT.rglob("*.onnx"))


def a_model(*nodes: object, opset: int = 20, ir_version: int = 10) -> object:
    """image → logits through one Gemm, and further nodes."""
    weight = onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "weight")
    value = onnx.helper.make_tensor_value_info
    gemm = helper.make_node("Gemm", ["image", "weight"], ["logits"], alpha=1.0)
    graph = helper.make_graph(
        [gemm, *nodes], "graph", [value("image", 1, ["N", 4])], [value("logits", 1, ["N", 3])], initializer=[weight]
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def refused(model: object, name: str = "backbone.onnx") -> str:
    with pytest.raises(ArtifactError) as caught:
        check_graph(name, model if isinstance(model, bytes) else model.SerializeToString())  # type: ignore[attr-defined]
    assert str(caught.value).startswith(f"{name}: ")
    return caught.value.message


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_the_default_artifact_pass(name: str) -> None:
    check_graph(name, (ARTIFACT / name).read_bytes())


def test_small_model_passes() -> None:
    constant = helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.arange(3), "c"))
    halves = helper.make_node("Constant", [], ["h"], value=onnx.helper.make_tensor("h", onnx.TensorProto.FLOAT16, [2], [0.5, 2.0]))
    check_graph("backbone.onnx", a_model(constant, halves).SerializeToString())  # type: ignore[attr-defined]


def an_external(tensor: object) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL  # type: ignore[attr-defined]
    tensor.external_data.add(key="location", value="../../etc/passwd")  # type: ignore[attr-defined]


def external_initializer(model: object) -> None:
    an_external(model.graph.initializer[0])  # type: ignore[attr-defined]


def external_with_the_location_alone(model: object) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")  # type: ignore[attr-defined]


def external_attribute(model: object) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=model.graph.initializer[0]))  # type: ignore[attr-defined]
    an_external(model.graph.node[-1].attribute[0].t)  # type: ignore[attr-defined]


def external_list_of_tensors(model: object) -> None:
    attribute = model.graph.node[0].attribute.add(name="many", type=onnx.AttributeProto.TENSORS)  # type: ignore[attr-defined]
    an_external(attribute.tensors.add(data_type=1, dims=[1]))


def sparse_initializer(model: object) -> None:
    sparse = model.graph.sparse_initializer.add()  # type: ignore[attr-defined]
    an_external(sparse.values)


def sparse_attribute(model: object) -> None:
    attribute = model.graph.node[0].attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)  # type: ignore[attr-defined]
    an_external(attribute.sparse_tensor.values)


def subgraph(model: object) -> None:
    body = helper.make_graph([], "body", [], [], initializer=[model.graph.initializer[0]])  # type: ignore[attr-defined]
    an_external(body.initializer[0])
    attribute = model.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH)  # type: ignore[attr-defined]
    attribute.g.CopyFrom(body)


def list_of_subgraphs(model: object) -> None:
    attribute = model.graph.node[0].attribute.add(name="bodies", type=onnx.AttributeProto.GRAPHS)  # type: ignore[attr-defined]
    attribute.graphs.add().name = "body"


def a_function(model: object) -> None:
    model.functions.add(name="Gemm", domain="ours")  # type: ignore[attr-defined]


def training_info(model: object) -> None:
    model.training_info.add().algorithm.name = "step"  # type: ignore[attr-defined]


def a_loop(model: object) -> None:
    model.graph.node[0].op_type = "Loop"  # type: ignore[attr-defined]


def a_random_operator(model: object) -> None:
    model.graph.node[0].op_type = "RandomNormal"  # type: ignore[attr-defined]


def unknown_operator(model: object) -> None:
    model.graph.node[0].op_type = "NoSuchOperator"  # type: ignore[attr-defined]


def foreign_operator(model: object) -> None:
    model.graph.node[0].domain = "com.microsoft"  # type: ignore[attr-defined]


def foreign_domain(model: object) -> None:
    model.opset_import.add(domain="com.example", version=1)  # type: ignore[attr-defined]


def training_domain_in_the_backbone(model: object) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)  # type: ignore[attr-defined]


def a_nan(model: object) -> None:
    model.graph.initializer[0].raw_data = np.full(12, np.nan, "<f4").tobytes()  # type: ignore[attr-defined]


def an_infinity_outside_of_raw_data(model: object) -> None:
    tensor = model.graph.initializer[0]  # type: ignore[attr-defined]
    tensor.ClearField("raw_data")
    tensor.float_data.extend([np.inf] * 12)


def a_half_nan(model: object) -> None:
    tensor = onnx.helper.make_tensor("h", onnx.TensorProto.FLOAT16, [2], [0.5, np.nan])
    model.graph.node.append(helper.make_node("Constant", [], ["h"], value=tensor))  # type: ignore[attr-defined]


def a_nan_attribute(model: object) -> None:
    model.graph.node[0].attribute[0].f = np.nan  # type: ignore[attr-defined]


def a_list_of_nan_attributes(model: object) -> None:
    attribute = model.graph.node[0].attribute.add(name="scales", type=onnx.AttributeProto.FLOATS)  # type: ignore[attr-defined]
    attribute.floats.extend([1.0, np.inf])


def hundred_gigabytes(model: object) -> None:
    del model.graph.initializer[0].dims[:]  # type: ignore[attr-defined]
    model.graph.initializer[0].dims.extend([25_000, 1_000_000])  # type: ignore[attr-defined]


def negative_shape(model: object) -> None:
    model.graph.initializer[0].dims[0] = -4  # type: ignore[attr-defined]


def fewer_numbers(model: object) -> None:
    model.graph.initializer[0].raw_data = b"1234"  # type: ignore[attr-defined]


def half_a_number(model: object) -> None:
    model.graph.initializer[0].raw_data = b"12345"  # type: ignore[attr-defined]


def numbers_in_two_places(model: object) -> None:
    model.graph.initializer[0].float_data.extend([1.0] * 12)  # type: ignore[attr-defined]


def a_text(model: object) -> None:
    model.graph.initializer[0].string_data.append(b"x")  # type: ignore[attr-defined]


def a_strange_type(model: object) -> None:
    model.graph.initializer[0].data_type = onnx.TensorProto.COMPLEX64  # type: ignore[attr-defined]


def no_type(model: object) -> None:
    model.graph.initializer[0].ClearField("data_type")  # type: ignore[attr-defined]


def a_segment(model: object) -> None:
    model.graph.initializer[0].segment.begin = 0  # type: ignore[attr-defined]


def too_new(model: object) -> None:
    model.ir_version = 11  # type: ignore[attr-defined]


def opset_too_new(model: object) -> None:
    model.opset_import[0].version = 21  # type: ignore[attr-defined]


def an_annotation(model: object) -> None:
    model.graph.quantization_annotation.add(tensor_name="x")  # type: ignore[attr-defined]


HIDDEN: dict[Callable[[object], None], str] = {
    external_initializer: "data outside of the file", external_with_the_location_alone: "data outside of the file",
    external_attribute: "data outside of the file", external_list_of_tensors: "data outside of the file",
    sparse_initializer: "a sparse tensor", sparse_attribute: "a sparse tensor", subgraph: "a graph inside a graph",
    list_of_subgraphs: "a graph inside a graph", a_function: "a function of its own", training_info: "training information",
    a_loop: "the operator 'Loop'", a_random_operator: "the operator 'RandomNormal'", unknown_operator: "the operator 'NoSuchOperator'",
    foreign_operator: "the operator 'com.microsoft.Gemm'", foreign_domain: "the domain 'com.example'",
    training_domain_in_the_backbone: "the domain 'com.microsoft'", a_nan: "'weight' holds NaN or Inf",
    an_infinity_outside_of_raw_data: "'weight' holds NaN or Inf", a_half_nan: "'h' holds NaN or Inf",
    a_nan_attribute: "an attribute that is NaN or Inf", a_list_of_nan_attributes: "an attribute that is NaN or Inf",
    hundred_gigabytes: "claims 25000000000 numbers and holds 12", negative_shape: "a shape that no tensor has",
    fewer_numbers: "claims 12 numbers and holds 1", half_a_number: "ends in the middle of a number",
    numbers_in_two_places: "its numbers in float_data, raw_data", a_text: "a tensor of text", a_strange_type: "of the type number 14",
    no_type: "of the type number 0", a_segment: "a tensor in segments", too_new: "IR version 11", opset_too_new: "opset 21",
    an_annotation: "quantisation annotations",
}  # fmt: skip


@pytest.mark.parametrize("hide", HIDDEN, ids=lambda hide: hide.__name__)
def test_hidden_thing_is_named(hide: Callable[[object], None]) -> None:
    model = a_model()
    hide(model)
    assert HIDDEN[hide] in refused(model)


def test_training_operators_are_for_training_alone() -> None:
    name = "training/optimizer_model.onnx"
    assert "'com.microsoft.SGDOptimizerV2'" in refused((ARTIFACT / name).read_bytes(), "portable/step.onnx")
    model = onnx.load(ARTIFACT / name)
    model.graph.node[0].op_type = "FusedGemm"
    assert "the operator 'com.microsoft.FusedGemm'" in refused(model, name)


def test_what_a_runtime_would_join_is_refused() -> None:
    sound = a_model().SerializeToString()  # type: ignore[attr-defined]
    assert "2 graphs" in refused(sound + bytes_field(7, b""))
    assert "0 graphs" in refused(b"\x08\x0a")
    assert "0 graphs" in refused(b"")
    tensor = onnx.numpy_helper.from_array(np.ones(3, np.float32), "t").SerializeToString()
    attribute = bytes_field(1, b"value") + bytes_field(5, tensor) * 2
    node = bytes_field(4, b"Constant") + bytes_field(5, attribute)
    assert "two tensors" in refused(bytes_field(7, bytes_field(1, node)))
    twice = tensor + bytes_field(9, np.ones(3, "<f4").tobytes())
    assert "its numbers twice" in refused(bytes_field(7, bytes_field(5, twice)))


def test_unknown_fields_and_wrong_kinds_are_refused() -> None:
    sound = a_model().SerializeToString()  # type: ignore[attr-defined]
    assert "an unknown field (26 of a model)" in refused(sound + bytes_field(26, b"new"))
    assert "a number where a message belongs" in refused(b"\x38\x01")
    assert "bytes where a number belongs" in refused(bytes_field(8, bytes_field(2, b"20")))
    assert "not a protobuf message" in refused(b"\x0b")
    assert "without an end" in refused(b"\xff")
    assert "middle of a field" in refused(bytes_field(7, b"graph")[:-1])


def test_pickle_is_not_a_graph(tmp_path: Path) -> None:
    import pickle

    refused(pickle.dumps({"weight": [1.0, 2.0]}))


@given(st.data())
def test_damaged_graph_raises_nothing_but_our_error(data: st.DataObject) -> None:
    sound = bytearray((ARTIFACT / data.draw(st.sampled_from(GRAPHS))).read_bytes()[:3000])
    for _ in range(data.draw(st.integers(1, 4))):
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_graph("backbone.onnx", bytes(sound))
    except ArtifactError as error:
        assert str(error).startswith("backbone.onnx: ")
