"""The engine `portable`: the same gradient step as a graph of standard operators, for every ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_agent.artifact import Artifact
from edge_agent.engines.contract import Batch, FloatArray
from edge_agent.errors import RuntimeUnavailable
from edge_agent.ort import import_onnxruntime
from edge_agent.providers import CPU, CUDA, cpu_session, try_cuda

NAME = "portable"
GRAPH = "portable/step.onnx"
_DEVICES = {CPU: "cpu", CUDA: "cuda"}


class PortableEngine:
    """`portable/step.onnx` in one inference session; the parameter stays on the provider's device from step to step.

    Attributes:
        provider: the provider that really runs the step.
        provider_reason: why that one, in words.
    """

    def __init__(self, artifact: Artifact, provider: str = CPU) -> None:
        """Start the session.

        Args:
            artifact: opened; `portable/step.onnx` is read, verified and given to the runtime.
            provider: where to run the step, by ONNX Runtime's name; where CUDA does not work, the CPU runs it.

        Raises:
            RuntimeUnavailable: no ONNX Runtime here.
            ArtifactError: the runtime refuses the file.
        """
        network = artifact.read(GRAPH)
        session, fault = try_cuda(network, 1) if provider == CUDA else (None, "")  # the head is too small for a second thread to pay
        self.provider = CPU if session is None else CUDA
        self.provider_reason = f"{CUDA} cannot run the step: {fault}" if fault else f"{self.provider} runs the backbone too"
        self._session = cpu_session(network, GRAPH, 1) if session is None else session
        self._classes = artifact.manifest.classes + artifact.manifest.spare_classes
        self._bound: _BoundBatch | None = None
        self.reset(0)

    @property
    def name(self) -> str:
        """`portable`."""
        return NAME

    @property
    def shape(self) -> tuple[int, int]:
        """`(C, R)` of the parameter; the graph is free in `R`, so there is no unused column."""
        return self._parameter.shape

    def reset(self, rows: int) -> None:
        """Set the parameter to zero, for so many rows."""
        self._parameter = _Parameter(self._classes, rows, _DEVICES[self.provider])
        self._bound = None

    def step(self, batch: Batch, learning_rate: float) -> FloatArray:
        """One step of plain SGD; see `HeadEngine.step`.

        Raises:
            RuntimeUnavailable: the runtime failed, for example for want of memory.
        """
        if self._bound is None or self._bound.batch is not batch:
            self._bound = _BoundBatch(self._session, batch, self._parameter)
        return self._bound.step(learning_rate)

    def coefficients(self) -> FloatArray:
        """A copy of the parameter, `[C, R]`."""
        return self._parameter.copy()


class _Parameter:
    """The coefficients before and after a step, on the provider's device, and which of the two holds them now."""

    def __init__(self, classes: int, rows: int, device: str) -> None:
        self.shape, self.device, self.now = (classes, rows), device, 0
        self._zeros = [np.zeros(self.shape, np.float32) for _ in range(2)]  # on the CPU the values alias these, and do not keep them alive
        self.values = [_on_device(array, device) for array in self._zeros] if rows else []

    def copy(self) -> FloatArray:
        return np.array(self.values[self.now].numpy() if self.values else self._zeros[0], np.float32)


class _BoundBatch:
    """What the steps of one solve have in common, bound once: the batch, the parameter in either direction, room for the logits."""

    def __init__(self, session: Any, batch: Batch, parameter: _Parameter) -> None:
        self.batch, self._session, self._parameter = batch, session, parameter
        self._rate, self._logits = np.zeros((), np.float32), np.empty_like(batch.base_logits)
        fixed = {name: _on_device(getattr(batch, name), parameter.device) for name in ("kernel", "base_logits", "targets")}
        logits = _on_device(self._logits, "cpu")
        self._directions = [session.io_binding() for _ in parameter.values]
        for before, binding in enumerate(self._directions):
            for name, value in fixed.items():
                binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_input("coefficients", parameter.values[before])
            binding.bind_ortvalue_output("next_coefficients", parameter.values[1 - before])
            binding.bind_ortvalue_output("next_logits", logits)

    def step(self, learning_rate: float) -> FloatArray:
        binding = self._directions[self._parameter.now]
        self._rate[...] = learning_rate
        try:
            binding.bind_cpu_input("learning_rate", self._rate)  # copied to the device where that is not the CPU
            binding.bind_cpu_input("weights", self.batch.weights)
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        except Exception as error:  # the runtime has no common class for its exceptions
            shape = self.batch.base_logits.shape
            raise RuntimeUnavailable(f"ONNX Runtime failed on a step for {shape}: {error}", "free memory, or lower the capacity") from None
        self._parameter.now = 1 - self._parameter.now
        return self._logits.copy()


def _on_device(array: FloatArray, device: str) -> Any:
    """A value of the runtime's; on the CPU it aliases the array, which has to live as long."""
    return import_onnxruntime().OrtValue.ortvalue_from_numpy(array, device, 0)
