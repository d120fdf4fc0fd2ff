"""The frozen backbone in ONNX Runtime: providers, threads, and logits, features and context from images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.chained import backbone_files, chained
from edge_agent.errors import RuntimeUnavailable
from edge_agent.providers import CPU, CUDA, PROVIDERS, cpu_session, try_cuda

__all__ = ["CPU", "CUDA", "PROVIDERS", "Backbone", "Seen", "stacked"]

FloatArray = NDArray[np.float32]


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


def stacked(parts: Sequence[Seen]) -> Seen:
    """What was seen in several batches, as one."""
    return Seen(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "features", "context")))


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
        networks = {name: artifact.read(name) for name in backbone_files(artifact.manifest.files)}
        if provider == CPU:
            return cls(_on_cpu(networks, threads), CPU, "asked for")
        session, fault = _on_cuda(networks, threads)
        if session is not None:
            return cls(session, CUDA, "asked for" if provider == CUDA else "CUDA works here")
        if provider == CUDA:
            raise _cuda_missing(fault)
        return cls(_on_cpu(networks, threads), CPU, f"{CUDA} cannot be used: {fault}")

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


def _on_cpu(networks: Mapping[str, bytes], threads: int) -> Any:
    return chained([cpu_session(network, name, threads) for name, network in networks.items()])


def _on_cuda(networks: Mapping[str, bytes], threads: int) -> tuple[Any | None, str]:
    """Every file on CUDA, or none and what is missing."""
    sessions = []
    for network in networks.values():
        session, fault = try_cuda(network, threads)
        if session is None:
            return None, fault
        sessions.append(session)
    return chained(sessions), ""


def _cuda_missing(fault: str) -> RuntimeUnavailable:
    hint = "install [cuda] or [portable-gpu] and the CUDA libraries (pip install 'onnxruntime-gpu[cuda,cudnn]'), or use --provider auto"
    return RuntimeUnavailable(f"CUDAExecutionProvider cannot be used: {fault}", hint)
