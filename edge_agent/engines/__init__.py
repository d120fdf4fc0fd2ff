"""The head trainers: one contract (`contract.py`), two engines of our own, those that others register, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_agent.artifact import Artifact
from edge_agent.engines import onnxruntime_training, portable
from edge_agent.engines.contract import Batch, EngineFactory, HeadEngine
from edge_agent.errors import ArtifactError, EdgeAgentError, RuntimeUnavailable
from edge_agent.providers import CPU

__all__ = ["ENGINES", "GROUP", "Batch", "EngineFactory", "HeadEngine", "engine_names", "open_engine"]

ENGINES = ("auto", onnxruntime_training.NAME, portable.NAME)
"""What `--engine` takes without anything registered."""
GROUP = "onnx_edge_agent.engines"
"""The entry point group under which other distributions register an `EngineFactory`."""


def engine_names() -> tuple[str, ...]:
    """What `--engine` takes here: "auto", our own engines, and those that other distributions registered."""
    return (*ENGINES, *sorted(set(_registered()) - set(ENGINES)))


def open_engine(artifact: Artifact, name: str, provider: str = CPU) -> tuple[HeadEngine, str]:
    """Start the engine that was asked for.

    Args:
        artifact: the opened artifact.
        name: "auto" (onnxruntime-training where it is installed and the artifact has its files, else portable), or an engine's name.
        provider: ONNX Runtime's name of the provider that runs the backbone; the portable engine follows it.

    Returns:
        The engine, and why that one, in words.

    Raises:
        RuntimeUnavailable: the name is unknown, or the named engine does not exist in this environment.
        ArtifactError: ONNX Runtime refuses the artifact's graphs.
    """
    if name == portable.NAME:
        return _portable(artifact, provider, "asked for")
    if name == onnxruntime_training.NAME:
        return onnxruntime_training.OnnxRuntimeTrainingEngine(artifact), "asked for"
    if name == "auto":
        return _best(artifact, provider)
    registered = _registered()
    if name not in registered:
        raise RuntimeUnavailable(f"engine {name!r} is not known", f"use one of {', '.join(engine_names())}")
    return _foreign(name, registered[name], artifact, provider), "asked for"


def _best(artifact: Artifact, provider: str) -> tuple[HeadEngine, str]:
    if not onnxruntime_training.available():
        return _portable(artifact, provider, "this ONNX Runtime was built without training")
    if not onnxruntime_training.in_artifact(artifact):
        return _portable(artifact, provider, "the artifact has no files for onnxruntime-training")
    try:
        return onnxruntime_training.OnnxRuntimeTrainingEngine(artifact), "this ONNX Runtime can train, and the artifact has its files"
    except ArtifactError as error:
        return _portable(artifact, provider, f"onnxruntime-training cannot be used: {error.message}")


def _portable(artifact: Artifact, provider: str, reason: str) -> tuple[HeadEngine, str]:
    engine = portable.PortableEngine(artifact, provider)
    return engine, reason if provider == CPU else f"{reason}; {engine.provider_reason}"


def _registered() -> dict[str, Callable[[], Any]]:
    """What loads the engines of other distributions, by name; asked only for a name that is not ours: the look takes 30 ms."""
    from importlib.metadata import entry_points

    return {point.name: point.load for point in entry_points(group=GROUP)}


def _foreign(name: str, load: Callable[[], Any], artifact: Artifact, provider: str) -> HeadEngine:
    try:
        engine: HeadEngine = load()(artifact, provider)
    except EdgeAgentError:
        raise
    except Exception as error:  # another's code: whatever it raises, the engine cannot be had
        fault = f"engine {name} cannot be started: {type(error).__name__}: {error}"
        raise RuntimeUnavailable(fault, "ask those who made it, or use --engine auto") from None
    return engine
