"""The head and its loss, written once in PyTorch, and ONNX Runtime's training artifacts made from them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_agent.errors import RuntimeUnavailable
from export import clean
from export.quiet import quiet
from export.signatures import CHECKPOINT, EVALUATION_GRAPH, HEAD_INPUTS, HEAD_OUTPUTS, PARAMETER, TRAINING_GRAPHS

SMALLER_CHECKPOINTS = (64,)  # with few remembered corrections a step on a small parameter is several times faster
COUNTED_NAME = re.compile(r"^onnx::(\w+)::\d+$")


class Head(nn.Module):
    """A linear head on kernel features, from zero: logits = base_logits + kernel · coefficientsᵀ.

    Args:
        rows: classes with the spare ones, `C + S`.
        capacity: remembered corrections, `R`.
    """

    def __init__(self, rows: int, capacity: int) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(rows, capacity))

    def forward(self, kernel: Tensor, base_logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted soft-target cross-entropy, summed, and the logits.

        Args:
            kernel: `[N, R]`.
            base_logits: `[N, C + S]`.
            targets: `[N, C + S]`, rows that add up to 1.
            weights: `[N]`.

        Returns:
            The loss, a scalar, and the logits `[N, C + S]`.
        """
        logits = base_logits + F.linear(kernel, self.coefficients)
        loss = (F.log_softmax(logits, dim=-1) * (targets * -weights.unsqueeze(1))).sum()  # few nodes: the device runs them at every step
        return loss, logits


def example(head: Head) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs of the right shapes, for the exporters: three pictures."""
    rows, capacity = head.coefficients.shape
    return torch.zeros(3, capacity), torch.zeros(3, rows), torch.full((3, rows), 1 / rows), torch.ones(3)


def write_training(head: Head, folder: Path) -> None:
    """Write the three graphs and a checkpoint for each size of the parameter.

    The head is exported without optimisation and without folding: a parameter of zeros would be folded away (FACTS.md). The
    optimizer is plain SGD. The graphs are free in the number of remembered corrections: `checkpoint` has room for all,
    `checkpoint-64` for 64.

    Args:
        head: with zero coefficients.
        folder: is created.

    Raises:
        RuntimeUnavailable: the training tools of ONNX Runtime are not installed, or refuse the graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = torch.export.Dim("N")
    with quiet():
        program = torch.onnx.export(
            head, example(head), dynamo=True, opset_version=clean.OPSET, optimize=False, do_constant_folding=False, verbose=False,
            input_names=list(HEAD_INPUTS), output_names=list(HEAD_OUTPUTS), dynamic_shapes=({0: number},) * len(HEAD_INPUTS),
        )  # fmt: skip
    if program is None:
        raise RuntimeUnavailable("the head cannot be written as ONNX", "update torch and onnxscript")
    _generate(clean.strip(program.model_proto), folder)
    rows, capacity = head.coefficients.shape
    for name in TRAINING_GRAPHS:
        model = onnx.load(folder / name)
        _free_capacity(model)
        _without_counters(model.graph)
        if name == EVALUATION_GRAPH:
            _drop_loss(model.graph)
        clean.save(model, folder / name)
    for smaller in (size for size in SMALLER_CHECKPOINTS if size < capacity):
        _write_checkpoint(rows, smaller, folder / f"{CHECKPOINT}-{smaller}")


def _free_capacity(model: onnx.ModelProto) -> None:
    """Make the second dimension of the kernel, the parameter and its gradient a free one, named R."""
    for value in model.graph.input:
        if value.name == HEAD_INPUTS[0] or value.name.startswith(PARAMETER):
            value.type.tensor_type.shape.dim[1].dim_param = "R"


def _without_counters(graph: onnx.GraphProto) -> None:
    """Take the generator's running numbers out of names: they count what this process has generated before."""
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = COUNTED_NAME.sub(r"\1", value.name)
    for node in graph.node:
        node.name = COUNTED_NAME.sub(r"\1", node.name)
        for names in (node.input, node.output):
            names[:] = [COUNTED_NAME.sub(r"\1", name) for name in names]


def _drop_loss(graph: onnx.GraphProto) -> None:
    """Keep only what the logits need: after a step nobody asks for the loss."""
    needed, kept = {HEAD_OUTPUTS[1]}, list[onnx.NodeProto]()
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.insert(0, node)
    inputs = [value for value in graph.input if value.name in needed]
    outputs = [value for value in graph.output if value.name in needed]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(kept)
    graph.input.extend(inputs)
    graph.output.extend(outputs)


def _write_checkpoint(rows: int, capacity: int, path: Path) -> None:
    from onnxruntime.capi._pybind_state import save_checkpoint

    zeros = onnx.numpy_helper.from_array(np.zeros((rows, capacity), np.float32), PARAMETER)
    save_checkpoint([zeros.SerializeToString()], [], str(path), False)


def _generate(model: onnx.ModelProto, folder: Path) -> None:
    try:
        with quiet():
            from onnxruntime.training import artifacts

            artifacts.generate_artifacts(
                model, requires_grad=[PARAMETER], frozen_params=[], optimizer=artifacts.OptimType.SGD, artifact_directory=folder
            )  # writes CHECKPOINT too
    except ImportError as error:
        hint = "pip install 'onnx-edge-agent[export]' (onnxruntime-training-cpu 1.19.2, Python 3.8 to 3.11)"
        raise RuntimeUnavailable(f"ONNX Runtime's training tools cannot be imported: {error}", hint) from None
    except Exception as error:  # the generator raises RuntimeError and its own kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        hint = "install onnxruntime-training-cpu 1.19.2"
        raise RuntimeUnavailable(f"ONNX Runtime's training tools refuse the head: {reason}", hint) from None
