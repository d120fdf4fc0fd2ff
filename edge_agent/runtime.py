"""The frozen backbone in ONNX Runtime: providers, threads, and logits, features and context from images."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, RuntimeUnavailable
from edge_agent.ort import import_onnxruntime

FloatArray = NDArray[np.float32]
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
PROVIDERS = ("auto", CPU, CUDA)


@dataclass(frozen=True)
class Seen:
    """What the backbone saw in `N` pictures.

    Attributes:
        logits: `[N, C]`, the network's own, divided by the artifact's temperature.
        features: `[N, D]`, what enters its last layer.
        context: `[N, K]`, of unit length.
    """

    logits: FloatArray
    features: FloatArray
    context: FloatArray


@dataclass(frozen=True)
class Backbone:
    """One inference session for the life of the process; safe to share between threads.

    Attributes:
        session: the `onnxruntime.InferenceSession`.
        provider: the provider that really runs it, by ONNX Runtime's name.
        reason: why that provider, in words.
    """

    session: Any
    provider: str
    reason: str

    @classmethod
    def open(cls, artifact: Artifact, provider: str, threads: int) -> Backbone:
        """Start the session from verified bytes.

        Args:
            artifact: the opened artifact.
            provider: "auto" (CUDA where it really works, else the CPU) or a provider's name; a named one is never replaced.
            threads: of one run; 0 leaves the choice to ONNX Runtime.

        Returns:
            The backbone.

        Raises:
            RuntimeUnavailable: no ONNX Runtime, or the named provider does not work here; the message says what is missing.
            ArtifactError: ONNX Runtime refuses the network.
        """
        if provider not in PROVIDERS:
            raise RuntimeUnavailable(f"provider {provider!r} is not supported", f"use one of {', '.join(PROVIDERS)}")
        available = import_onnxruntime().get_available_providers()
        network = artifact.read("backbone.onnx")
        if provider == CPU or CUDA not in available:
            if provider == CUDA:
                raise _cuda_missing(f"this ONNX Runtime was built without it (it has {', '.join(available)})")
            reason = "asked for" if provider == CPU else "this ONNX Runtime has no CUDAExecutionProvider"
            return cls(_start(network, CPU, threads), CPU, reason)
        session, fault = _try_cuda(network, threads)
        if session is not None:
            return cls(session, CUDA, "asked for" if provider == CUDA else "CUDA works here")
        if provider == CUDA:
            raise _cuda_missing(fault)
        return cls(_start(network, CPU, threads), CPU, f"CUDAExecutionProvider does not work: {fault}")

    def run(self, images: FloatArray) -> Seen:
        """One pass.

        Args:
            images: float32 `[N, 3, H, W]`, as `edge_agent.image.to_tensor` makes them.

        Returns:
            Logits, features and context of the `N` pictures.

        Raises:
            RuntimeUnavailable: the runtime failed, for example for want of memory; fewer pictures at a time need less.
        """
        try:
            return Seen(*self.session.run(["logits", "features", "context"], {"image": images}))
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            raise RuntimeUnavailable(f"ONNX Runtime failed on {images.shape}: {error}", "free memory, or give fewer pictures") from None


def _session_options(threads: int) -> Any:
    options = import_onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _start(network: bytes, provider: str, threads: int) -> Any:
    try:
        return import_onnxruntime().InferenceSession(network, _session_options(threads), providers=[provider])
    except Exception as error:  # no common class, see above
        raise ArtifactError(f"ONNX Runtime refuses backbone.onnx: {error}", "build the artifact again") from None


def _try_cuda(network: bytes, threads: int) -> tuple[Any | None, str]:
    """A session on CUDA, or None and the reason; a session that fell back to the CPU without a word counts as none."""
    try:
        session = import_onnxruntime().InferenceSession(network, _session_options(threads), providers=[CUDA])
    except Exception as error:  # no common class, see above
        return None, _first_line(str(error))
    if session.get_providers()[0] == CUDA:
        return session, ""
    return None, _library_fault()


def _library_fault() -> str:
    """What the loader says about the provider's library; it names the CUDA library that is missing."""
    folder = Path(sys.modules["onnxruntime"].__file__ or "").parent / "capi"
    for name in ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"):
        try:
            ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            return _first_line(str(error))
    return "no usable GPU or driver was found"


def _cuda_missing(fault: str) -> RuntimeUnavailable:
    hint = "install an extra with CUDA ([cuda] or [portable-gpu]) and the CUDA libraries it names, or use --provider auto"
    return RuntimeUnavailable(f"CUDAExecutionProvider cannot be used: {fault}", hint)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else "no reason given"
