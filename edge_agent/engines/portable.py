"""The engine `portable`: the same gradient step as a graph of standard operators, for every ONNX Runtime."""

from __future__ import annotations

import numpy as np

from edge_agent.artifact import Artifact
from edge_agent.engines.contract import Batch, FloatArray
from edge_agent.errors import ArtifactError
from edge_agent.ort import import_onnxruntime

NAME = "portable"


class PortableEngine:
    """`portable/step.onnx` in one inference session; the parameter is a numpy array that goes in and comes out."""

    def __init__(self, artifact: Artifact, provider: str = "CPUExecutionProvider") -> None:
        """Start the session.

        Args:
            artifact: opened; `portable/step.onnx` is read, verified and given to the runtime.
            provider: ONNX Runtime's name of the provider that runs the step.

        Raises:
            RuntimeUnavailable: no ONNX Runtime here.
            ArtifactError: the runtime refuses the file.
        """
        runtime = import_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the head is too small for a second thread to pay
        options.log_severity_level = 4
        step = artifact.read("portable/step.onnx")
        try:
            self._session = runtime.InferenceSession(step, options, providers=[provider])
        except Exception as error:  # the runtime has no common class for its exceptions
            raise ArtifactError(f"ONNX Runtime refuses portable/step.onnx: {error}", "build the artifact again") from None
        manifest = artifact.manifest
        self._classes = manifest.classes + manifest.spare_classes
        self._coefficients: FloatArray = np.zeros((self._classes, 0), np.float32)

    @property
    def name(self) -> str:
        """`portable`."""
        return NAME

    @property
    def shape(self) -> tuple[int, int]:
        """`(C, R)` of the parameter; the graph is free in `R`, so there is no unused column."""
        classes, rows = self._coefficients.shape
        return classes, rows

    def reset(self, rows: int) -> None:
        """Set the parameter to zero, for so many rows."""
        self._coefficients = np.zeros((self._classes, rows), np.float32)

    def step(self, batch: Batch, learning_rate: float) -> FloatArray:
        """One step of plain SGD; see `HeadEngine.step`."""
        inputs = {
            "kernel": batch.kernel, "base_logits": batch.base_logits, "targets": batch.targets, "weights": batch.weights,
            "learning_rate": np.array(learning_rate, np.float32), "coefficients": self._coefficients,
        }  # fmt: skip
        self._coefficients, logits = self._session.run(["next_coefficients", "next_logits"], inputs)
        return np.asarray(logits, np.float32)

    def coefficients(self) -> FloatArray:
        """A copy of the parameter, `[C, R]`."""
        return np.array(self._coefficients, np.float32)
