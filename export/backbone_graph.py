"""`backbone.onnx`: image → calibrated logits, features, context, in inference mode, for any number of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from edge_agent.chained import SECOND
from edge_agent.errors import InputError
from export import clean, two_files
from export.quiet import quiet
from export.signatures import BACKBONE_INPUT, BACKBONE_OUTPUTS
from export.statistics import ContextMap
from export.tapped import Tapped
from export.two_files import CARRIED, EARLIER

SMALLEST_NORM = 1e-12  # a clamp: an added epsilon would be optimised away as zero


class Backbone(nn.Module):
    """The frozen network with the outputs that the device needs.

    Args:
        network: with its taps open.
        temperature: divisor of the logits.
        context: mean and matrix of the context.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, network: Tapped, temperature: float, context: ContextMap) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.register_buffer("mean", torch.from_numpy(context.mean))
        self.register_buffer("matrix", torch.from_numpy(context.matrix))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image `[N, 3, H, W]` → logits `[N, C]`, features `[N, D]`, context `[N, K]`."""
        logits, features, taps = self.network(image)
        return _finish(logits, features, taps, self.temperature, self.mean, self.matrix)


class Tail(nn.Module):
    """What a backbone does behind its network, for the second of two files."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.temperature = backbone.temperature
        self.register_buffer("mean", backbone.mean)
        self.register_buffer("matrix", backbone.matrix)

    def forward(self, logits: Tensor, features: Tensor, taps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Calibrated logits, features, and the context of features and taps."""
        return _finish(logits, features, taps, self.temperature, self.mean, self.matrix)


def _finish(
    logits: Tensor, features: Tensor, taps: Tensor, temperature: float, mean: Tensor, matrix: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    mapped = (torch.cat([features, taps], dim=1) - mean) @ matrix
    norm = torch.linalg.vector_norm(mapped, dim=1, keepdim=True)
    return logits / temperature, features, mapped / norm.clamp(min=SMALLEST_NORM)


def write_backbone(backbone: Backbone, height: int, width: int, path: Path) -> None:
    """Write the backbone as one ONNX file, or as two where one cannot hold it.

    Args:
        backbone: in evaluation mode.
        height: of the input, pixels.
        width: of the input, pixels.
        path: the file to write; a second one is named `backbone-2.onnx` beside it.

    Raises:
        InputError: the network holds an operation that ONNX does not have, or is larger than two ONNX files can be.
    """
    if not two_files.needed(backbone):
        clean.save(to_onnx(backbone, BACKBONE_OUTPUTS, height, width), path)
        return
    features, *taps = backbone.network.points
    first, second = two_files.halves(backbone.network.network, features, tuple(taps), Tail(backbone))
    image = torch.zeros(2, 3, height, width)
    with torch.no_grad():
        between = dict(zip((CARRIED, EARLIER), first(image), strict=False))
    clean.save(_exported(first, {BACKBONE_INPUT: image}, list(between)), path)
    clean.save(_exported(second, between, BACKBONE_OUTPUTS), path.with_name(SECOND))


def to_onnx(network: nn.Module, outputs: Sequence[str], height: int, width: int) -> onnx.ModelProto:
    """A network in inference mode as ONNX, for any number of pictures.

    Args:
        network: image `[N, 3, H, W]` → one tensor for each output.
        outputs: their names.
        height: of the input, pixels.
        width: of the input, pixels.

    Returns:
        The model, as the exporter made it.

    Raises:
        InputError: the network holds an operation that ONNX does not have, or is larger than one ONNX file can be.
    """
    if two_files.needed(network):
        found = f"the network has more numbers than one ONNX file holds ({clean.LIMIT_BYTES} bytes)"
        raise InputError(found, "build it without --quantize: then it becomes two files")
    return _exported(network, {BACKBONE_INPUT: torch.zeros(2, 3, height, width)}, outputs)


def _exported(network: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> onnx.ModelProto:
    """A network as ONNX; the first axis of every input is free."""
    shapes = tuple({0: torch.export.Dim("N")} for _ in inputs)
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                network.eval(), tuple(inputs.values()), dynamo=True, opset_version=clean.OPSET, external_data=False, verbose=False,
                input_names=list(inputs), output_names=list(outputs), dynamic_shapes=shapes,
            )  # fmt: skip
    except Exception as error:  # the exporter raises whatever its passes raise
        reason = (str(error.__cause__ or error) or type(error).__name__).strip().splitlines()[0][:200]
        raise InputError(f"the network cannot be written as ONNX: {reason}", "see edge-export models for networks that can") from None
    if program is None:
        raise InputError("the network cannot be written as ONNX: the exporter returned nothing", "update torch and onnxscript")
    return program.model_proto
