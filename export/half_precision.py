"""The network in 16-bit floats, for providers that compute in them; the image and what comes out stay float32."""

from __future__ import annotations

import onnx

from edge_agent.errors import InputError
from edge_agent.ort import import_onnxruntime
from export import clean
from export.quiet import quiet


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a network.

    Args:
        model: with its weights inside; it is left as it is.

    Returns:
        The same network in float16, in standard operators; its inputs and outputs are float32.

    Raises:
        InputError: the converter refuses the network.
    """
    import_onnxruntime()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    try:
        with quiet():
            converted: onnx.ModelProto = convert_float_to_float16(copied, keep_io_types=True)
    except Exception as error:  # the converter raises whatever its passes raise
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"the network cannot be converted to float16: {reason}", "build it without --quantize") from None
    return clean.strip(converted)
