"""The engine `onnxruntime-training`: gradient steps by ONNX Runtime's own training session.

Its compiled module is used directly: the Python layer above it (`onnxruntime.training.api`) imports torch. The session reads files by
path, so the verified bytes are handed to it through anonymous files in memory, or a private folder where the system has none.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_agent.artifact import Artifact
from edge_agent.engines.contract import Batch, FloatArray
from edge_agent.errors import ArtifactError, RuntimeUnavailable
from edge_agent.ort import import_onnxruntime

NAME = "onnxruntime-training"
PARAMETER = "coefficients"
CHECKPOINT = "training/checkpoint"
GRAPHS = ("training/training_model.onnx", "training/eval_model.onnx", "training/optimizer_model.onnx")


class OnnxRuntimeTrainingEngine:
    """The head in training sessions that live as long as the process; their parameter is overwritten, never rebuilt.

    There is one for each size of checkpoint in the artifact, started when it is first needed: with few remembered rows the small one
    spares most of the arithmetic.
    """

    def __init__(self, artifact: Artifact) -> None:
        """Start the smallest session.

        Args:
            artifact: opened; its `training/` files are read, verified and given to the runtime.

        Raises:
            RuntimeUnavailable: this ONNX Runtime was built without training.
            ArtifactError: the runtime refuses the files.
        """
        self._artifact = artifact
        self._sizes = {_rows_of(name, artifact): name for name in artifact.manifest.files if name.startswith(CHECKPOINT)}
        self._sessions: dict[int, _Session] = {}
        self._session = self._sized(1)

    @property
    def name(self) -> str:
        """`onnxruntime-training`."""
        return NAME

    @property
    def shape(self) -> tuple[int, int]:
        """`(C, R)` of the parameter."""
        return self._session.shape

    def reset(self, rows: int) -> None:
        """Set the parameter to zero, in the smallest session with room for so many rows."""
        self._session = self._sized(rows)
        self._session.reset()

    def step(self, batch: Batch, learning_rate: float) -> FloatArray:
        """One step of plain SGD; see `HeadEngine.step`."""
        return self._session.step(batch, learning_rate)

    def coefficients(self) -> FloatArray:
        """A copy of the parameter, `[C, R]`."""
        return self._session.coefficients()

    def _sized(self, rows: int) -> _Session:
        size = min((size for size in self._sizes if size >= rows), default=max(self._sizes))
        if size not in self._sessions:
            self._sessions[size] = _Session(self._artifact, self._sizes[size], size)
        return self._sessions[size]


class _Session:
    """Module, optimizer and parameter of one checkpoint."""

    def __init__(self, artifact: Artifact, checkpoint_name: str, rows: int) -> None:
        self._native = native = _native_module()
        options = native.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the head is too small for a second thread to pay
        options.log_severity_level = 4
        self._device = device = native.OrtDevice(native.OrtDevice.cpu(), native.OrtDevice.default_memory(), 0)
        names = (checkpoint_name, *GRAPHS)
        with ExitStack() as stack:
            checkpoint, training, evaluation, optimizer = (stack.enter_context(_as_file(artifact.read(name))) for name in names)
            try:
                self._state = native.load_checkpoint(checkpoint)
                self._module = native.Module(training, self._state, evaluation, device, options)
                self._optimizer = native.Optimizer(optimizer, self._state, device, options)
                self._parameter = self._state.get_parameter(PARAMETER)
            except Exception as error:  # the runtime has no common class for its exceptions
                raise ArtifactError(f"ONNX Runtime refuses the training files: {error}", "build the artifact again") from None
        self.shape = (artifact.manifest.classes + artifact.manifest.spare_classes, rows)
        found = self._parameter.data.numpy().shape
        if found != self.shape:
            raise ArtifactError(f"{checkpoint_name} has shape {found}, the manifest says {self.shape}", "build the artifact again")
        # The runtime's value aliases this array and does not keep it alive: it stays ours for the life of the session.
        self._zeros = np.zeros(self.shape, np.float32)
        self._zero_value = native.OrtValue.ortvalue_from_numpy(self._zeros, device)
        self._bound: _Bound | None = None

    def reset(self) -> None:
        self._bound = None
        self._parameter.copy_from(self._state, self._zero_value)

    def step(self, batch: Batch, learning_rate: float) -> FloatArray:
        bound, module, optimizer = self._bound, self._module, self._optimizer
        if bound is None or bound.batch is not batch:
            bound = self._bind(batch)
        module.train_step_with_ort_values(bound.inputs, bound.losses)
        optimizer.set_learning_rate(learning_rate)
        optimizer.optimizer_step()
        module.lazy_reset_grad()
        module.eval_step_with_ort_values(bound.rows, bound.outputs)
        return bound.logits.copy()  # half a microsecond; a fresh value of the runtime's takes it two

    def coefficients(self) -> FloatArray:
        return np.array(self._parameter.data.numpy(), np.float32)

    def _bind(self, batch: Batch) -> _Bound:
        """Values that alias the batch's arrays, made once for the steps of a solve."""
        wrap, vector = self._native.OrtValue.ortvalue_from_numpy, self._native.OrtValueVector
        inputs, rows, outputs, logits = vector(), vector(), vector(), np.empty_like(batch.base_logits)
        for array in (batch.kernel, batch.base_logits, batch.targets, batch.weights):
            inputs.push_back(wrap(array, self._device))
        rows.push_back(inputs[0])
        rows.push_back(inputs[1])
        outputs.push_back(wrap(logits, self._device))
        self._bound = _Bound(batch, inputs, vector(), rows, outputs, logits)
        return self._bound


@dataclass(frozen=True)
class _Bound:
    """What the steps on one batch have in common.

    Attributes:
        batch: held as long as the values: they do not keep its arrays alive.
        inputs: of a training step.
        losses: outputs of a training step, which nobody reads; empty before the first, then written again and again.
        rows: inputs of an evaluation step.
        outputs: its one output, which aliases `logits`.
        logits: `[N, C]`, as the last evaluation step left them.
    """

    batch: Batch
    inputs: Any
    losses: Any
    rows: Any
    outputs: Any
    logits: FloatArray


def _rows_of(name: str, artifact: Artifact) -> int:
    """The rows of a checkpoint by its name: `checkpoint` has the capacity, `checkpoint-64` has 64."""
    suffix = name.removeprefix(CHECKPOINT).removeprefix("-")
    return int(suffix) if suffix.isdecimal() else artifact.manifest.capacity


def in_artifact(artifact: Artifact) -> bool:
    """Whether the artifact has the files of this engine."""
    return {CHECKPOINT, *GRAPHS} <= set(artifact.manifest.files)


def available() -> bool:
    """Whether this environment's ONNX Runtime can train."""
    try:
        _native_module()
    except RuntimeUnavailable:
        return False
    return True


def _native_module() -> Any:
    import_onnxruntime()
    from onnxruntime.capi import _pybind_state as native

    if not hasattr(native, "Module") or not hasattr(native, "load_checkpoint"):
        hint = "use --engine portable, or install onnxruntime-training-cpu 1.19.2 (Python 3.10 or 3.11 on x86-64)"
        raise RuntimeUnavailable("this ONNX Runtime was built without training", hint)
    return native


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path under which the runtime finds exactly these bytes, and nobody else can change them."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("edge-agent")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        with open(path, "xb") as file:
            file.write(content)
        yield path
