"""Why torch.fx cannot trace a network: the line of its author's code, how far the trace had come, and what to do."""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path

import torch
from torch import fx, nn

from edge_agent.errors import InputError

REMEDIES = (
    ("iterated", "loop over a fixed number of steps, for step in range(N), not over a tensor or its size"),
    ("control flow", "take branches on tensor values out of forward(): choose with torch.where, or decide by a setting of the module"),
    ("'len' is not supported", "read x.shape[0] instead of len(x)"),
    ("interpreted as an integer", "take the number from a setting of the module, not from a tensor"),
)
OTHERWISE = "make that part a function of its own and mark it with torch.fx.wrap, or write it with operators of torch"
SHOWN = 160  # letters of a reason or a line


def untraceable(error: Exception, module: nn.Module, tracer: fx.Tracer) -> InputError:
    """The error for a person.

    Args:
        error: what the trace raised.
        module: the network.
        tracer: that tried.
    """
    reason = (str(error) or type(error).__name__).splitlines()[0][:SHOWN]
    hint = next((remedy for word, remedy in REMEDIES if word in str(error)), OTHERWISE)
    graph: fx.Graph | None = getattr(tracer, "graph", None)
    nodes = list(graph.nodes) if graph is not None else []
    after = f", after node {nodes[-1].name} ({nodes[-1].op} {_target(nodes[-1])})" if nodes else ""
    return InputError(f"{type(module).__name__} cannot be traced by torch.fx: {reason}{_line(error)}{after}", hint)


def place_of(error: Exception, outside: Path) -> traceback.FrameSummary | None:
    """The innermost line that led to an error and is neither torch's nor this program's; None where there is none.

    Args:
        error: with its traceback.
        outside: a directory whose lines do not count, besides torch's.
    """
    foreign = (Path(torch.__file__).parent, outside)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    theirs = [frame for frame in frames if not any(Path(frame.filename).is_relative_to(folder) for folder in foreign)]
    return theirs[-1] if theirs else None


def _line(error: Exception) -> str:
    frame = place_of(error, Path(__file__).parent)
    if frame is None:
        return ""
    code = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()[:SHOWN]
    return f" at {Path(frame.filename).name}, line {frame.lineno} ({code})"


def _target(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
