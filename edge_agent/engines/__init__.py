"""The head trainers: one contract (`contract.py`), two engines, and the choice between them."""

from __future__ import annotations

from edge_agent.artifact import Artifact
from edge_agent.engines import onnxruntime_training, portable
from edge_agent.engines.contract import Batch, HeadEngine
from edge_agent.errors import RuntimeUnavailable

__all__ = ["ENGINES", "Batch", "HeadEngine", "open_engine"]

ENGINES = ("auto", onnxruntime_training.NAME, portable.NAME)


def open_engine(artifact: Artifact, name: str) -> tuple[HeadEngine, str]:
    """Start the engine that was asked for.

    Args:
        artifact: the opened artifact.
        name: "auto" (onnxruntime-training where it is installed, else portable), or an engine's name.

    Returns:
        The engine, and why that one, in words.

    Raises:
        RuntimeUnavailable: the name is unknown, or the named engine does not exist in this environment.
        ArtifactError: ONNX Runtime refuses the artifact's graphs.
    """
    if name not in ENGINES:
        raise RuntimeUnavailable(f"engine {name!r} is not known", f"use one of {', '.join(ENGINES)}")
    if name == portable.NAME:
        return portable.PortableEngine(artifact), "asked for"
    if name == "auto" and not onnxruntime_training.available():
        return portable.PortableEngine(artifact), "this ONNX Runtime was built without training"
    reason = "asked for" if name != "auto" else "this ONNX Runtime can train"
    return onnxruntime_training.OnnxRuntimeTrainingEngine(artifact), reason
