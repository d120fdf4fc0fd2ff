"""What was written, run by ONNX Runtime on the CPU: the backbone, and steps of the head through both of its graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.chained import FIRST, SECOND, chained
from edge_agent.errors import ArtifactError, RuntimeUnavailable
from edge_agent.ort import import_onnxruntime
from export.signatures import BACKBONE_INPUT, BACKBONE_OUTPUTS, CHECKPOINT, HEAD_INPUTS, PARAMETER, STEP_OUTPUTS, TRAINING_GRAPHS

FloatArray = NDArray[np.float32]
ABSENT_LOGIT = -1e4  # base logit of a class that is not in use


@dataclass(frozen=True)
class StepCase:
    """Steps of plain SGD on the head, from zero coefficients.

    Attributes:
        kernel: `[N, R]`.
        base_logits: `[N, C + S]`.
        targets: `[N, C + S]`.
        weights: `[N]`.
        learning_rate: of each step.
        steps: how many; the second begins at coefficients that are not zero.
    """

    kernel: FloatArray
    base_logits: FloatArray
    targets: FloatArray
    weights: FloatArray
    learning_rate: float = 0.5
    steps: int = 2


@dataclass(frozen=True)
class Stepped:
    """The head after a case's steps.

    Attributes:
        coefficients: `[C + S, R]`.
        logits: `[N, C + S]`, with these coefficients.
    """

    coefficients: FloatArray
    logits: FloatArray

    def difference(self, other: Stepped) -> float:
        """The greatest difference of a number: absolute up to 1, relative above.

        Returns:
            The difference; infinite where the shapes differ.
        """
        return max(greatest_difference(self.coefficients, other.coefficients), greatest_difference(self.logits, other.logits))


def greatest_difference(found: FloatArray, expected: FloatArray) -> float:
    """The greatest difference of a number: absolute up to 1, relative above; infinite where the shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    scale = np.maximum(1.0, np.abs(expected, dtype=np.float64))
    return float((np.abs(found.astype(np.float64) - expected) / scale).max(initial=0.0))


class WrittenBackbone:
    """A session on `backbone.onnx`, with `backbone-2.onnx` where there is one.

    Args:
        network: the content of the file, its path, or the contents of both files.
        optimised: whether ONNX Runtime may replace its operators by faster ones, as it does on a device.

    Raises:
        ArtifactError: ONNX Runtime refuses it.
    """

    def __init__(self, network: bytes | Path | Sequence[bytes], optimised: bool = True) -> None:
        sources: Sequence[bytes | Path] = [network] if isinstance(network, (bytes, Path)) else network
        if isinstance(network, Path) and network.with_name(SECOND).is_file():
            sources = [network, network.with_name(SECOND)]
        self._session: Any = chained([session_for(source, name, optimised) for source, name in zip(sources, (FIRST, SECOND), strict=False)])

    def run(self, image: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Logits `[N, C]`, features `[N, D]` and context `[N, K]` of `image` `[N, 3, H, W]`.

        Raises:
            ArtifactError: the network cannot be run.
        """
        try:
            logits, features, context = self._session.run(list(BACKBONE_OUTPUTS), {BACKBONE_INPUT: image})
        except Exception as error:
            raise ArtifactError(f"backbone.onnx cannot be run: {_line(error)}", "build the artifact again") from None
        return logits, features, context


def session_for(network: bytes | Path, name: str, optimised: bool = True, threads: int = 0) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU.

    Args:
        network: the content of an ONNX file, or its path.
        name: what an error calls it.
        optimised: whether operators may be replaced by faster ones.
        threads: of one run; 0 leaves the choice to ONNX Runtime.

    Raises:
        ArtifactError: ONNX Runtime refuses it.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if not optimised:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = network if isinstance(network, bytes) else str(network)
    try:
        return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        raise ArtifactError(f"ONNX Runtime refuses {name}: {_line(error)}", "report it with the model's name") from None


def training_steps(folder: Path, case: StepCase) -> Stepped:
    """The case's steps in ONNX Runtime's training session.

    The compiled module is called as the device calls it; its Python layer needs torch.

    Args:
        folder: with the four files of `training/`.
        case: the steps.

    Returns:
        The head after them; the logits are those of the evaluation graph.

    Raises:
        RuntimeUnavailable: this ONNX Runtime cannot train.
        ArtifactError: it refuses the files.
    """
    import_onnxruntime()
    from onnxruntime.capi import _pybind_state as native

    if not hasattr(native, "load_checkpoint"):
        raise RuntimeUnavailable("this ONNX Runtime was built without training", "pip install 'onnx-edge-agent[export]'")
    inputs = [case.kernel, case.base_logits, case.targets, case.weights]
    options = native.SessionOptions()
    options.log_severity_level = 4
    device = native.OrtDevice(native.OrtDevice.cpu(), native.OrtDevice.default_memory(), 0)
    try:
        state = native.load_checkpoint(str(folder / CHECKPOINT))
        graphs = [str(folder / name) for name in TRAINING_GRAPHS]
        module = native.Module(graphs[0], state, graphs[1], device, options)
        optimizer = native.Optimizer(graphs[2], state, device, options)
        for _ in range(case.steps):
            module.train_step(inputs, native.OrtValueVector())
            optimizer.set_learning_rate(case.learning_rate)
            optimizer.optimizer_step()
            module.lazy_reset_grad()
        logits = native.OrtValueVector()
        module.eval_step(inputs[:2], logits)
        return Stepped(np.array(state.get_parameter(PARAMETER).data.numpy(), np.float32), np.array(logits[0].numpy(), np.float32))
    except Exception as error:
        raise ArtifactError(f"ONNX Runtime refuses the training files: {_line(error)}", "build the artifact again") from None


def portable_steps(graph: bytes | Path, case: StepCase) -> Stepped:
    """The case's steps through `portable/step.onnx`.

    Args:
        graph: the content of the file, or its path.
        case: the steps.

    Returns:
        The head after them.

    Raises:
        ArtifactError: ONNX Runtime refuses the file.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    coefficients = np.zeros((case.base_logits.shape[1], case.kernel.shape[1]), np.float32)
    inputs = dict(zip(HEAD_INPUTS, (case.kernel, case.base_logits, case.targets, case.weights), strict=True))
    try:
        source = graph if isinstance(graph, bytes) else str(graph)
        session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        for _ in range(case.steps):
            feed = {**inputs, "learning_rate": np.array(case.learning_rate, np.float32), PARAMETER: coefficients}
            coefficients, logits = session.run(list(STEP_OUTPUTS[1:]), feed)
    except Exception as error:
        raise ArtifactError(f"ONNX Runtime refuses portable/step.onnx: {_line(error)}", "build the artifact again") from None
    return Stepped(coefficients, logits)


def numpy_steps(case: StepCase) -> Stepped:
    """The same steps in numpy and float64, from the formula of the gradient: (softmax(z)·Σq − q)·w, times the kernel."""
    kernel, base, targets = (array.astype(np.float64) for array in (case.kernel, case.base_logits, case.targets))
    coefficients = np.zeros((base.shape[1], kernel.shape[1]))
    for _ in range(case.steps):
        logits = base + kernel @ coefficients.T
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        gradient = (probabilities * targets.sum(axis=1, keepdims=True) - targets) * case.weights[:, None]
        coefficients -= case.learning_rate * gradient.T @ kernel
    return Stepped(coefficients.astype(np.float32), (base + kernel @ coefficients.T).astype(np.float32))


def step_case(context: FloatArray, logits: FloatArray, labels: NDArray[np.int64], spare: int, capacity: int) -> StepCase:
    """A case as a device meets it: kernel rows of real contexts, real logits, soft targets, unequal weights.

    Args:
        context: `[n, K]`.
        logits: `[n, C]`, calibrated.
        labels: `[n]`.
        spare: spare classes.
        capacity: remembered corrections.

    Returns:
        The case, of at most 16 and at most `capacity` pictures.
    """
    count = min(16, capacity, len(context))
    kernel = np.zeros((count, capacity), np.float32)
    kernel[:, :count] = np.maximum(context[:count] @ context[:count].T, 0) ** 2
    base = np.pad(logits[:count], ((0, 0), (0, spare)), constant_values=ABSENT_LOGIT).astype(np.float32)
    classes = logits.shape[1]
    targets = np.zeros_like(base)
    targets[:, :classes] = 0.1 / classes
    targets[np.arange(count), labels[:count]] += 0.9
    return StepCase(kernel, base, targets, np.linspace(0.5, 1.5, count, dtype=np.float32))


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
