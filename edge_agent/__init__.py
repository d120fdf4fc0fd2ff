"""Correct a trained image classifier from one picture, on the device.

    from edge_agent import EdgeAgent

    agent = EdgeAgent.open("artifacts/default", state="state")
    seen = agent.predict("belt-017.jpg")
    done = agent.correct(seen, "frog")
    agent.undo(done.id)

The names below are loaded when they are first used: `import edge_agent` loads neither ONNX Runtime nor Pillow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_agent.agent import Correction, EdgeAgent, Prediction
    from edge_agent.errors import (
        AnsweredError,
        ArtifactError,
        EdgeAgentError,
        InputError,
        LabelError,
        NotWaitingError,
        RepeatedError,
        RuntimeUnavailable,
        StateBusyError,
        StateError,
        UsageError,
    )
    from edge_agent.health import HealthReport

__version__ = "0.1.0"

__all__ = [
    "AnsweredError",
    "ArtifactError",
    "Correction",
    "EdgeAgent",
    "EdgeAgentError",
    "HealthReport",
    "InputError",
    "LabelError",
    "NotWaitingError",
    "Prediction",
    "RepeatedError",
    "RuntimeUnavailable",
    "StateBusyError",
    "StateError",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'edge_agent' has no attribute {name!r}")
    module = "errors" if name.endswith(("Error", "Unavailable")) else "health" if name == "HealthReport" else "agent"
    return getattr(importlib.import_module(f"edge_agent.{module}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "__version__"])
