"""The head and its loss, written once in PyTorch, and ONNX Runtime's training artifacts made from them."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_agent.errors import RuntimeUnavailable
from export import clean
from export.quiet import quiet

INPUTS = ("kernel", "base_logits", "targets", "weights")
PARAMETER = "coefficients"
FILES = ("training_model.onnx", "eval_model.onnx", "optimizer_model.onnx", "checkpoint")


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
        loss = (weights * -(targets * F.log_softmax(logits, dim=-1)).sum(dim=-1)).sum()
        return loss, logits


def example(head: Head) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs of the right shapes, for the exporters: three pictures."""
    rows, capacity = head.coefficients.shape
    return torch.zeros(3, capacity), torch.zeros(3, rows), torch.full((3, rows), 1 / rows), torch.ones(3)


def write_training(head: Head, folder: Path) -> None:
    """Write `training_model.onnx`, `eval_model.onnx`, `optimizer_model.onnx` and `checkpoint`.

    The graph is exported without optimisation and without folding: a parameter of zeros would be folded away (FACTS.md). The
    optimizer is plain SGD.

    Args:
        head: with zero coefficients.
        folder: is created.

    Raises:
        RuntimeUnavailable: the training tools of ONNX Runtime are not installed, or refuse the graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = torch.export.Dim("N")
    with quiet():
        program = torch.onnx.export(
            head, example(head), dynamo=True, opset_version=clean.OPSET, optimize=False, do_constant_folding=False, verbose=False,
            input_names=list(INPUTS), output_names=["loss", "logits"], dynamic_shapes=({0: rows},) * len(INPUTS),
        )  # fmt: skip
    if program is None:
        raise RuntimeUnavailable("the head cannot be written as ONNX", "update torch and onnxscript")
    _generate(clean.strip(program.model_proto), folder)
    for name in FILES:
        if name.endswith(".onnx"):
            clean.clean_file(folder / name)


def _generate(model: onnx.ModelProto, folder: Path) -> None:
    try:
        with quiet():
            from onnxruntime.training import artifacts

            artifacts.generate_artifacts(
                model, requires_grad=[PARAMETER], frozen_params=[], optimizer=artifacts.OptimType.SGD, artifact_directory=folder
            )
    except ImportError as error:
        hint = "pip install 'onnx-edge-agent[export]' (onnxruntime-training-cpu 1.19.2, Python 3.8 to 3.11)"
        raise RuntimeUnavailable(f"ONNX Runtime's training tools cannot be imported: {error}", hint) from None
    except Exception as error:  # the generator raises RuntimeError and its own kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RuntimeUnavailable(f"ONNX Runtime's training tools refuse the head: {reason}", "install onnxruntime-training-cpu 1.19.2") from None
