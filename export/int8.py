"""The network in 8-bit integers, by ONNX Runtime's static quantiser: unsigned activations, signed weights, a scale for each channel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_agent.errors import InputError
from edge_agent.ort import import_onnxruntime
from export import clean
from export.dataset import Progress
from export.gates import with_integer_gates
from export.quantisable import HINT, kept_in_float, types_to_quantise
from export.quiet import quiet

FloatArray = NDArray[np.float32]
PICTURES = 512
BATCH = 16  # ranges are means over batches of the least and the greatest: one odd picture decides less
STAGE = "calibration of int8"


class Ranges:
    """What the quantiser asks for pictures: one batch after the other."""

    def __init__(self, name: str, batches: Iterable[FloatArray], total: int, progress: Progress) -> None:
        """Name the network's input, and who is told of each batch."""
        self._name, self._batches, self._total, self._progress, self._done = name, iter(batches), total, progress, 0

    def get_next(self) -> dict[str, FloatArray] | None:
        """The next batch, None behind the last."""
        batch = next(self._batches, None)
        if batch is None:
            return None
        self._done += len(batch)
        if self._done < self._total:  # the last word is the caller's
            self._progress(STAGE, self._done, self._total)
        return {self._name: batch}


def to_int8(model: onnx.ModelProto, batches: Iterable[FloatArray], total: int, progress: Progress) -> onnx.ModelProto:
    """Quantise a network.

    Args:
        model: from `quantisable.prepared`, with one input.
        batches: `[n, 3, H, W]` each, n at least 1: pictures whose activations give the ranges.
        total: how many pictures that will be.
        progress: told how many have been seen.

    Returns:
        The quantised network, in standard operators; its inputs and outputs are float32.

    Raises:
        InputError: the quantiser refuses the network.
    """
    import_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    reader = Ranges(model.graph.input[0].name, batches, total, progress)
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, source)
        try:
            with quiet():
                # Weights of 7 bits (reduce_range): sums of two products then fit into 16 bits, in which processors without VNNI add
                # them up. So all processors compute the same.
                quantize_static(
                    source, result, reader, QuantFormat.QDQ, types_to_quantise(model),
                    per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    nodes_to_exclude=kept_in_float(model), calibrate_method=CalibrationMethod.MinMax,
                    extra_options={"CalibMovingAverage": True, "MatMulConstBOnly": True},
                )  # fmt: skip
        except Exception as error:  # the quantiser raises whatever its passes raise
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise InputError(f"the network cannot be quantised to int8: {reason}", HINT) from None
        quantised = onnx.load(result)
    progress(STAGE, total, total)
    with_integer_gates(quantised)
    return clean.strip(quantised)
