from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_agent.errors import InputError
from export import clean

SECRET = "/home/alice/secret/train.py"


def leaky() -> onnx.ModelProto:
    """A model with a path in every place that an exporter writes one to."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    middle = helper.make_tensor_value_info("m", TensorProto.FLOAT, ["N", 2])
    branch = helper.make_graph([helper.make_node("Identity", ["m"], ["b"], doc_string=SECRET)], SECRET, [], [middle], doc_string=SECRET)
    branch.output[0].name = "b"
    constant = numpy_helper.from_array(np.ones(2, np.float32), "one")
    constant.doc_string = SECRET
    nodes = [
        helper.make_node("Add", ["x", "one"], ["m"], name="add", doc_string=SECRET),
        helper.make_node("Constant", [], ["c"], value=constant),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    graph = helper.make_graph(nodes, SECRET, [value], [result], [constant], doc_string=SECRET, value_info=[middle])
    function = helper.make_function("local", "f", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"], doc_string=SECRET)], [])
    function.doc_string = SECRET
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("unused", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=[function], producer_name=SECRET, doc_string=SECRET, ir_version=14)
    parts = [model, graph, function, value, result, middle, constant, branch, *nodes, *branch.node, *function.node]
    for part in (*parts, model.graph, *model.graph.node, *model.graph.input, *model.graph.initializer, *model.functions):
        part.metadata_props.append(onnx.StringStringEntryProto(key="stack", value=SECRET))
    return model


def test_nothing_of_the_workstation_stays() -> None:
    model = leaky()
    assert SECRET.encode() in model.SerializeToString()
    stripped = clean.strip(model)
    assert SECRET.encode() not in stripped.SerializeToString()
    assert stripped.ir_version == 10
    assert [entry.domain for entry in stripped.opset_import] == [""]
    assert not stripped.graph.value_info
    assert clean.fault(stripped) is None


def test_what_computes_stays() -> None:
    stripped = clean.strip(leaky())
    assert [node.op_type for node in stripped.graph.node] == ["Add", "Constant", "If"]
    assert stripped.graph.node[0].name == "add"
    assert numpy_helper.to_array(stripped.graph.initializer[0]).tolist() == [1, 1]
    assert [dim.dim_param or dim.dim_value for dim in stripped.graph.input[0].type.tensor_type.shape.dim] == ["N", 2]


def test_older_model_keeps_its_version() -> None:
    model = leaky()
    model.ir_version = 8
    assert clean.strip(model).ir_version == 8


def test_faults_are_told() -> None:
    model = leaky()
    assert clean.fault(model) == "has IR version 14, expected at most 10"
    model.ir_version = 10
    assert clean.fault(model) == "carries metadata"
    clean.strip(model)
    model.graph.node[1].doc_string = "x"
    assert clean.fault(model) == "carries metadata"
    clean.strip(model)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    assert clean.fault(model) == "keeps tensors outside of the file"


def test_saved_twice_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a/b.onnx", "c.onnx"):
        clean.save(leaky(), tmp_path / name)
    assert (tmp_path / "a/b.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()


def test_model_that_one_file_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean, "LIMIT_BYTES", 100)
    with pytest.raises(InputError, match=r"big.onnx would have \d+ bytes, one ONNX file holds 100"):
        clean.save(leaky(), tmp_path / "big.onnx")
    assert not (tmp_path / "big.onnx").exists()
