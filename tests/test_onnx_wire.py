"""The protobuf encoding: against itself, and against the package `onnx` where it is installed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import ARTIFACT

from edge_agent import onnx_wire
from edge_agent.errors import ArtifactError
from edge_agent.onnx_wire import (
    GRAPH_INITIALIZER,
    GRAPH_NODE,
    GRAPH_OUTPUT,
    MODEL_GRAPH,
    bytes_field,
    fields,
    node,
    output,
    renamed,
    tensor,
)

BACKBONE = (ARTIFACT / "backbone.onnx").read_bytes()


@pytest.fixture(scope="module")
def onnx() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError:
        pytest.skip("the package onnx is not installed here")


def payload(field: bytes) -> bytes:
    ((_, _, inner),) = fields(field)
    assert inner is not None
    return inner


class TestFields:
    def test_they_are_the_message(self) -> None:
        assert b"".join(encoded for _, encoded, _ in fields(BACKBONE)) == BACKBONE
        graph = next(inner for number, _, inner in fields(BACKBONE) if number == MODEL_GRAPH)
        assert graph is not None
        assert b"".join(encoded for _, encoded, _ in fields(graph)) == graph
        assert {GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_OUTPUT} <= {number for number, _, _ in fields(graph)}

    @given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.binary(max_size=300)), max_size=8))
    def test_what_was_written_is_read(self, parts: list[tuple[int, bytes]]) -> None:
        message = b"".join(bytes_field(number, inner) for number, inner in parts)
        assert [(number, inner) for number, _, inner in fields(message)] == parts

    @given(st.integers(0, 2**64 - 1))
    def test_numbers_are_read(self, value: int) -> None:
        encoded = onnx_wire._varint(value)
        assert onnx_wire._read_varint(encoded, 0) == (value, len(encoded))

    def test_fixed_sizes_are_passed_over(self) -> None:
        message = bytes([0x09]) + bytes(8) + bytes([0x15]) + bytes(4) + bytes_field(3, b"end")
        assert [(number, inner) for number, _, inner in fields(message)] == [(1, None), (2, None), (3, b"end")]

    @pytest.mark.parametrize(
        "message",
        [b"\x0b", b"\x0a\x05abc", b"\x09\x00", b"\x0a", b"\x80", b"\x08" + b"\xff" * 11],
        ids=["group", "cut bytes", "cut number", "no length", "no key", "endless"],
    )
    def test_what_is_no_message_is_refused(self, message: bytes) -> None:
        with pytest.raises(ArtifactError, match="the ONNX file"):
            list(fields(message))

    @given(st.binary(max_size=200))
    def test_any_bytes_are_read_or_refused(self, message: bytes) -> None:
        try:
            found = b"".join(encoded for _, encoded, _ in fields(message))
        except ArtifactError:
            return
        assert found == message


class TestRenamed:
    def test_inputs_and_outputs_alone(self) -> None:
        before = payload(node("Add", ["logits", "logit"], "logits"))
        after = renamed(before, {b"logits": b"factory_logits"})
        found = [(number, inner) for number, _, inner in fields(after)]
        assert found == [(1, b"factory_logits"), (1, b"logit"), (2, b"factory_logits"), (3, b"logits"), (4, b"Add")]

    def test_others_stay_as_they_are(self) -> None:
        before = payload(node("Concat", ["a", "b"], "c", axis=1))
        assert renamed(before, {b"logits": b"factory_logits"}) is before
        assert renamed(before, {}) is before


class TestAgainstOnnx:
    def test_node(self, onnx: Any) -> None:
        found = onnx.NodeProto.FromString(payload(node("Concat", ["a", "b"], "c", axis=1)))
        assert (found.op_type, found.name, list(found.input), list(found.output)) == ("Concat", "c", ["a", "b"], ["c"])
        (attribute,) = found.attribute
        assert (attribute.name, attribute.type, attribute.i) == ("axis", onnx.AttributeProto.INT, 1)
        assert found == onnx.helper.make_node("Concat", ["a", "b"], ["c"], name="c", axis=1)
        assert not onnx.NodeProto.FromString(payload(node("Relu", ["a"], "b"))).attribute

    @pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0, 4), (1, 200, 3)])
    def test_tensor(self, shape: tuple[int, ...], onnx: Any) -> None:
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        for array in (values, np.array(values, order="F")):
            found = onnx.TensorProto.FromString(payload(tensor("rows", array)))
            assert found.name == "rows"
            assert found.data_type == onnx.TensorProto.FLOAT
            assert np.array_equal(onnx.numpy_helper.to_array(found), values)

    def test_output(self, onnx: Any) -> None:
        found = onnx.ValueInfoProto.FromString(payload(output("logits", "N", 300)))
        assert found == onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", 300])
