"""The names inside the graphs, as `artifacts/README.md` fixes them."""

from __future__ import annotations

BACKBONE_INPUT = "image"
BACKBONE_OUTPUTS = ("logits", "features", "context")
HEAD_INPUTS = ("kernel", "base_logits", "targets", "weights")
HEAD_OUTPUTS = ("loss", "logits")
PARAMETER = "coefficients"
STEP_INPUTS = (*HEAD_INPUTS, "learning_rate", PARAMETER)
STEP_OUTPUTS = ("loss", f"next_{PARAMETER}", "next_logits")
EVALUATION_GRAPH = "eval_model.onnx"
TRAINING_GRAPHS = ("training_model.onnx", EVALUATION_GRAPH, "optimizer_model.onnx")
CHECKPOINT = "checkpoint"
