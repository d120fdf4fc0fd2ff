"""Just enough of ONNX's protobuf encoding to look through a graph, rename its values and append nodes and tensors, without `onnx`.

Source: protobuf.dev/programming-guides/encoding, and the field numbers of `onnx/onnx.proto` (ONNX 1.x, which never reuses one).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ArtifactError

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_OUTPUT = 1, 5, 12
NODE_INPUT, NODE_OUTPUT = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT = 1  # TensorProto.DataType.FLOAT


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """The fields of a message, in order.

    Args:
        message: an encoded message.

    Yields:
        Field number, the field as it is encoded, and its payload where it is a string, bytes or a message.

    Raises:
        ArtifactError: the bytes are not a protobuf message.
    """
    position = 0
    while position < len(message):
        start = position
        key, position = _read_varint(message, position)
        number, kind, payload = key >> 3, key & 7, None
        if kind == _VARINT:
            _, position = _read_varint(message, position)
        elif kind == _BYTES:
            size, position = _read_varint(message, position)
            payload, position = message[position : position + size], position + size
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ArtifactError("the ONNX file is not a protobuf message", "build the artifact again")
        if position > len(message):
            raise ArtifactError("the ONNX file ends in the middle of a field", "build the artifact again")
        yield number, message[start:position], payload


def values(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message, in order, without a copy of any of it.

    Args:
        message: an encoded message.

    Yields:
        Field number, and its value: the bits of a number, or the bytes of a string, a message or a packed list.

    Raises:
        ArtifactError: the bytes are not a protobuf message.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _read_varint(message, position)
        number, kind = key >> 3, key & 7
        value: int | memoryview
        if kind == _VARINT:
            value, position = _read_varint(message, position)
        elif kind == _BYTES:
            size, position = _read_varint(message, position)
            value, position = message[position : position + size], position + size
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
            value, position = int.from_bytes(message[position : position + size], "little"), position + size
        else:
            raise ArtifactError("the ONNX file is not a protobuf message", "build the artifact again")
        if position > end:
            raise ArtifactError("the ONNX file ends in the middle of a field", "build the artifact again")
        yield number, value


def varints(packed: memoryview) -> Iterator[int]:
    """The numbers of a packed list, as unsigned.

    Raises:
        ArtifactError: the last one has no end.
    """
    position = 0
    while position < len(packed):
        value, position = _read_varint(packed, position)
        yield value


def bytes_field(number: int, payload: bytes) -> bytes:
    """A field that holds a string, bytes or a message."""
    return _varint(number << 3 | _BYTES) + _varint(len(payload)) + payload


def renamed(node: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """A NodeProto with some of its inputs and outputs renamed."""
    if not any(name in node for name in names):
        return node
    parts = []
    for number, encoded, payload in fields(node):
        is_name = number in (NODE_INPUT, NODE_OUTPUT) and payload in names
        parts.append(bytes_field(number, names[payload]) if is_name and payload is not None else encoded)
    return b"".join(parts)


def node(operator: str, inputs: Sequence[str], output: str, axis: int | None = None) -> bytes:
    """A graph's node field with one output; `axis` is the attribute of that name."""
    parts = [bytes_field(NODE_INPUT, name.encode()) for name in inputs]
    parts += [bytes_field(NODE_OUTPUT, output.encode()), bytes_field(3, output.encode()), bytes_field(4, operator.encode())]
    if axis is not None:
        parts.append(bytes_field(5, bytes_field(1, b"axis") + _varint_field(3, axis) + _varint_field(20, 2)))  # type INT
    return bytes_field(GRAPH_NODE, b"".join(parts))


def tensor(name: str, values: NDArray[np.float32]) -> bytes:
    """A graph's initializer field."""
    dims = b"".join(_varint_field(1, size) for size in values.shape)
    raw = np.ascontiguousarray(values, "<f4").tobytes()
    return bytes_field(GRAPH_INITIALIZER, dims + _varint_field(2, _FLOAT) + bytes_field(8, name.encode()) + bytes_field(9, raw))


def output(name: str, rows: str, columns: int) -> bytes:
    """A graph's output field: float32 `[rows, columns]`, `rows` free under that name."""
    dims = bytes_field(1, bytes_field(2, rows.encode())) + bytes_field(1, _varint_field(1, columns))
    kind = bytes_field(1, _varint_field(1, _FLOAT) + bytes_field(2, dims))
    return bytes_field(GRAPH_OUTPUT, bytes_field(1, name.encode()) + bytes_field(2, kind))


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _read_varint(message: bytes | memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ArtifactError("the ONNX file has a number without an end", "build the artifact again")
