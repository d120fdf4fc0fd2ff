from __future__ import annotations

import numpy as np
import onnx
import pytest
from gated import gated, images, ran, tapped_model
from onnx import TensorProto

from edge_agent.errors import InputError
from export import clean
from export.half_precision import to_float16


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return tapped_model(gated())


def test_half_the_size_and_nearly_the_same_numbers(exported: onnx.ModelProto) -> None:
    found = to_float16(exported)
    assert all(tensor.data_type != TensorProto.FLOAT for tensor in found.graph.initializer if len(tensor.dims) > 1)
    for expected, other in zip(ran(exported, images()), ran(found, images()), strict=True):
        assert other.dtype == np.float32
        assert np.abs(other - expected).max() < 0.01 * np.abs(expected).max()


def test_standard_operators_and_float32_outside(exported: onnx.ModelProto) -> None:
    found = to_float16(exported)
    assert clean.fault(found) is None and [entry.domain for entry in found.opset_import] == [""]
    assert {value.type.tensor_type.elem_type for value in (*found.graph.input, *found.graph.output)} == {TensorProto.FLOAT}


def test_the_float_network_is_left_as_it_was(exported: onnx.ModelProto) -> None:
    before = exported.SerializeToString(deterministic=True)
    to_float16(exported)
    assert exported.SerializeToString(deterministic=True) == before


def test_what_the_converter_raises_becomes_one_line(exported: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: onnx.ModelProto, keep_io_types: bool) -> None:
        raise TypeError("no such type\nand more")

    monkeypatch.setattr("onnxruntime.transformers.float16.convert_float_to_float16", refuse)
    with pytest.raises(InputError, match="cannot be converted to float16: no such type; hint"):
        to_float16(exported)
