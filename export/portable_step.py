"""`portable/step.onnx`: the same head, differentiated by PyTorch, as one step in standard operators for any ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from edge_agent.errors import RuntimeUnavailable
from export import clean
from export.head_graph import Head, example
from export.quiet import quiet
from export.signatures import PARAMETER, STEP_INPUTS, STEP_OUTPUTS


class Step(nn.Module):
    """One step of plain SGD on the head: what the training artifacts do, with the parameter as an input and an output."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(
        self, kernel: Tensor, base_logits: Tensor, targets: Tensor, weights: Tensor, learning_rate: Tensor, coefficients: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss before the step, coefficients after it, and the logits with them.

        Args:
            kernel: `[N, R]`.
            base_logits: `[N, C + S]`.
            targets: `[N, C + S]`.
            weights: `[N]`.
            learning_rate: a scalar.
            coefficients: `[C + S, R]`.

        Returns:
            The loss, a scalar; `[C + S, R]`; `[N, C + S]`.
        """

        def loss(parameter: Tensor) -> tuple[Tensor, Tensor]:
            result: tuple[Tensor, Tensor] = torch.func.functional_call(
                self.head, {PARAMETER: parameter}, (kernel, base_logits, targets, weights)
            )
            return result

        gradient, (value, _) = torch.func.grad_and_value(loss, has_aux=True)(coefficients)
        following = coefficients - learning_rate * gradient
        return value, following, base_logits + kernel @ following.T


def write_step(head: Head, path: Path) -> None:
    """Write the step as one ONNX file, free in the number of pictures and of remembered corrections.

    Args:
        head: gives the shapes; its coefficients are not written.
        path: the file to write.

    Raises:
        RuntimeUnavailable: this version of torch cannot write it.
    """
    inputs = (*example(head), torch.tensor(1.0), torch.zeros_like(head.coefficients))
    rows, remembered = torch.export.Dim("N"), torch.export.Dim("R")
    with quiet():
        graph: fx.GraphModule = make_fx(Step(head), tracing_mode="symbolic")(*inputs)
        program = torch.onnx.export(
            graph.eval(), inputs, dynamo=True, opset_version=clean.OPSET, verbose=False, input_names=list(STEP_INPUTS),
            output_names=list(STEP_OUTPUTS), dynamic_shapes=({0: rows, 1: remembered}, *({0: rows},) * 3, None, {1: remembered}),
        )  # fmt: skip
    if program is None:
        raise RuntimeUnavailable("the portable step cannot be written as ONNX", "update torch and onnxscript")
    clean.save(program.model_proto, path)
