"""A network in two ONNX files, where one cannot hold it (2 GiB): the inputs of the second are the outputs of the first, by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FIRST, SECOND = "backbone.onnx", "backbone-2.onnx"


@dataclass(frozen=True)
class Chained:
    """Two sessions that answer as one; what is between them stays inside.

    Attributes:
        first: takes the pictures.
        second: takes every output of the first.
    """

    first: Any
    second: Any

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Any]) -> list[Any]:
        """One pass, called as a session of ONNX Runtime is."""
        names = [value.name for value in self.first.get_outputs()]
        between = dict(zip(names, self.first.run(names, inputs), strict=True))
        answer: list[Any] = self.second.run(outputs, between)
        return answer

    def get_inputs(self) -> Any:
        """Those of the first session."""
        return self.first.get_inputs()

    def get_outputs(self) -> Any:
        """Those of the second session."""
        return self.second.get_outputs()


def backbone_files(listed: Collection[str]) -> tuple[str, ...]:
    """The files of an artifact's network, in the order in which they run."""
    return (FIRST, SECOND) if SECOND in listed else (FIRST,)


def chained(sessions: Sequence[Any]) -> Any:
    """One session as it is, or two as one."""
    return sessions[0] if len(sessions) == 1 else Chained(*sessions)
