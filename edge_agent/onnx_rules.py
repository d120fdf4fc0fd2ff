"""What an ONNX file of an artifact may hold, checked field by field on its encoding before a runtime sees it.

The rules are closed: a message has the fields named here and no other. There is no place in it for data outside of the file, for a graph
inside of a graph, for a function, for a foreign operator, or for a parameter that is not a finite number.

Source: the field numbers of `onnx/onnx.proto`, ONNX 1.x with IR version 10.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import isfinite, prod

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError
from edge_agent.onnx_operators import OPERATORS, TRAINING_OPERATORS
from edge_agent.onnx_wire import values, varints

IR_VERSION = 10
OPSET = 20
DIMENSIONS = 16
STANDARD, MICROSOFT, TRAINING_FOLDER = ("", "ai.onnx"), "com.microsoft", "training/"

Value = int | memoryview
_MODEL = {"ir_version": 1, "producer_name": 2, "producer_version": 3, "domain": 4, "model_version": 5, "doc_string": 6, "graph": 7,
          "opset_import": 8, "metadata_props": 14}  # fmt: skip
_GRAPH = {"node": 1, "name": 2, "initializer": 5, "doc_string": 10, "input": 11, "output": 12, "value_info": 13, "metadata_props": 16}
_NODE = {"input": 1, "output": 2, "name": 3, "op_type": 4, "attribute": 5, "doc_string": 6, "domain": 7, "metadata_props": 9}
_ATTRIBUTE = {"name": 1, "f": 2, "i": 3, "s": 4, "t": 5, "floats": 7, "ints": 8, "strings": 9, "tensors": 10, "doc_string": 13, "type": 20}
_TENSOR = {"dims": 1, "data_type": 2, "float_data": 4, "int32_data": 5, "int64_data": 7, "name": 8, "raw_data": 9, "double_data": 10,
           "uint64_data": 11, "doc_string": 12, "data_location": 14, "metadata_props": 16}  # fmt: skip
_OPSET = {"domain": 1, "version": 2}
_FORBIDDEN = {  # by message and number, in words; whatever else is not in the tables above is unknown
    ("model", 20): "training information", ("model", 25): "a function of its own", ("graph", 14): "quantisation annotations",
    ("graph", 15): "a sparse tensor", ("node", 8): "an overloaded operator", ("attribute", 6): "a graph inside a graph",
    ("attribute", 11): "a graph inside a graph", ("attribute", 14): "a type as attribute", ("attribute", 15): "a type as attribute",
    ("attribute", 21): "an attribute that refers to a function's", ("attribute", 22): "a sparse tensor",
    ("attribute", 23): "a sparse tensor", ("tensor", 3): "a tensor in segments", ("tensor", 6): "a tensor of text",
    ("tensor", 13): "data outside of the file",
}  # fmt: skip
# TensorProto.DataType: name, the numpy type of its raw data, and the field that holds it where it is not raw
_TYPES = {1: ("float32", "<f4", "float_data"), 2: ("uint8", "u1", "int32_data"), 3: ("int8", "i1", "int32_data"),
          6: ("int32", "<i4", "int32_data"), 7: ("int64", "<i8", "int64_data"), 9: ("bool", "u1", "int32_data"),
          10: ("float16", "<f2", "int32_data"), 11: ("float64", "<f8", "double_data")}  # fmt: skip
_PACKED = {"float_data": "<f4", "double_data": "<f8"}
_DATA = ("float_data", "int32_data", "int64_data", "raw_data", "double_data", "uint64_data")


def check_graphs(artifact: Artifact) -> None:
    """Look through every ONNX file of an artifact.

    Raises:
        ArtifactError: one of them breaks a rule of the format.
    """
    for name in artifact.manifest.files:
        if name.endswith(".onnx"):
            check_graph(name, artifact.read(name))


def check_graph(name: str, data: bytes) -> None:
    """Look through one ONNX file.

    Args:
        name: of the file in the artifact; those in `training/` may use the operators of ONNX Runtime's training tools too.
        data: its content.

    Raises:
        ArtifactError: it breaks a rule of the format; the message names the file and what was found in it.
    """
    try:
        _check_model(memoryview(data), name.startswith(TRAINING_FOLDER))
    except ArtifactError as error:
        raise ArtifactError(f"{name}: {error.message}", error.hint) from None


def _check_model(model: memoryview, is_training: bool) -> None:
    graphs = 0
    for field, value in _fields("model", _MODEL, model):
        if field == "ir_version":
            _require(isinstance(value, int) and value <= IR_VERSION, f"IR version {value}, expected at most {IR_VERSION}")
        elif field == "opset_import":
            _check_opset(_message(value), is_training)
        elif field == "graph":
            graphs += 1
            _check_graph(_message(value), is_training)
    _require(graphs == 1, f"{graphs} graphs, expected 1")


def _check_opset(entry: memoryview, is_training: bool) -> None:
    domain, version = "", 0
    for field, value in _fields("opset", _OPSET, entry):
        if field == "domain":
            domain = _text(value)
        else:
            version = _number(value)
    if domain in STANDARD:
        _require(1 <= version <= OPSET, f"opset {version}, expected at most {OPSET}")
    else:
        _require(is_training and domain == MICROSOFT, f"operators of the domain {domain[:40]!r}, expected ONNX's own")


def _check_graph(graph: memoryview, is_training: bool) -> None:
    for field, value in _fields("graph", _GRAPH, graph):
        if field == "node":
            _check_node(_message(value), is_training)
        elif field == "initializer":
            _check_tensor(_message(value))


def _check_node(node: memoryview, is_training: bool) -> None:
    operator, domain = "", ""
    for field, value in _fields("node", _NODE, node):
        if field == "op_type":
            operator = _text(value)
        elif field == "domain":
            domain = _text(value)
        elif field == "attribute":
            _check_attribute(_message(value))
    allowed: Collection[str] = OPERATORS if domain in STANDARD else ()
    if is_training and domain == MICROSOFT:
        allowed = TRAINING_OPERATORS
    called = f"{domain[:40]}.{operator[:40]}" if domain else operator[:40]
    _require(operator in allowed, f"the operator {called!r}, which no artifact may use")


def _check_attribute(attribute: memoryview) -> None:
    tensors = 0
    for field, value in _fields("attribute", _ATTRIBUTE, attribute):
        tensors += field == "t"
        _require(tensors <= 1, "an attribute with two tensors, which a runtime would join")
        if field in ("t", "tensors"):
            _check_tensor(_message(value))
        elif field in ("f", "floats"):
            _require(_floats(value, "<f4"), "an attribute that is NaN or Inf")


def _check_tensor(tensor: memoryview) -> None:
    """Its type is one of ours, it holds as many numbers as its shape says, and they are finite."""
    dims, kind, data = list[int](), 0, list[tuple[str, Value]]()
    name = "a tensor"
    for field, value in _fields("tensor", _TENSOR, tensor):
        if field == "dims":
            dims += [value] if isinstance(value, int) else list(varints(value))
        elif field == "data_type":
            kind = _number(value)
        elif field == "data_location":
            _require(value == 0, "data outside of the file")
        elif field == "name":
            name = f"the tensor {_text(value)[:60]!r}"
        elif field in _DATA:
            data.append((field, value))
    _require(kind in _TYPES, f"{name} of the type number {kind}, expected one of {', '.join(t[0] for t in _TYPES.values())}")
    _require(len(dims) <= DIMENSIONS and all(size < 2**31 for size in dims), f"{name} of a shape that no tensor has")
    _check_numbers(name, prod(dims), kind, data)


def _check_numbers(name: str, claimed: int, kind: int, data: list[tuple[str, Value]]) -> None:
    _, dtype, typed = _TYPES[kind]
    fields = {field for field, _ in data}
    _require(fields <= {"raw_data"} or fields == {typed}, f"{name} with its numbers in {', '.join(sorted(fields))}")
    held, are_finite = 0, True
    for field, value in data:
        packed = _PACKED.get(field, dtype if field == "raw_data" else None)
        if isinstance(value, int):
            held += 1
            are_finite &= packed is None or _floats(value, packed)
        elif packed is not None:
            held += len(value) // np.dtype(packed).itemsize
            whole = len(value) % np.dtype(packed).itemsize == 0
            _require(whole, f"{name} that ends in the middle of a number")
            are_finite &= _floats(value, packed)
        else:
            held += int(np.count_nonzero(np.frombuffer(value, np.uint8) < 0x80))
            are_finite &= dtype != "<f2" or _are_finite(np.array([bits & 0xFFFF for bits in varints(value)], "<u2").view("<f2"))
    _require(len([field for field, _ in data if field == "raw_data"]) <= 1, f"{name} with its numbers twice")
    _require(held == claimed, f"{name} claims {claimed} numbers and holds {held}")
    _require(are_finite, f"{name} holds NaN or Inf")


def _floats(value: Value, dtype: str) -> bool:
    """Whether a number's bits, or a list of them, are finite; what is no float is."""
    if isinstance(value, int):
        return isfinite(np.frombuffer(value.to_bytes(8, "little")[: np.dtype(dtype).itemsize], dtype)[0])
    if len(value) % np.dtype(dtype).itemsize:
        return False
    return _are_finite(np.frombuffer(value, dtype))


def _are_finite(numbers: NDArray[np.generic]) -> bool:
    return numbers.dtype.kind != "f" or bool(np.isfinite(numbers).all())


def _fields(message: str, known: dict[str, int], data: memoryview) -> Iterator[tuple[str, Value]]:
    """The fields of a message by name.

    Raises:
        ArtifactError: one of them is not allowed.
    """
    names = {number: name for name, number in known.items()}
    for number, value in values(data):
        if number not in names:
            raise _refusal(_FORBIDDEN.get((message, number), f"an unknown field ({number} of a {message})"))
        yield names[number], value


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _refusal("a number where a message belongs")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise _refusal("bytes where a number belongs")
    return value


def _text(value: Value) -> str:
    return bytes(_message(value)).decode("utf-8", "replace")


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise _refusal(found)


def _refusal(found: str) -> ArtifactError:
    return ArtifactError(f"it has {found}", "the artifact is damaged or foreign: build it again with edge-export")
