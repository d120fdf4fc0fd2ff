"""Every error that edge-agent and edge-export raise on purpose.

    EdgeAgentError                 the root: catch it to catch all of ours
    ├── UsageError            64   the call itself is wrong: an option, a combination, a value out of its range
    ├── InputError            65   what was given cannot be used: a picture, an array, a folder, a weights file
    │   ├── LabelError        65   a label that is unknown, empty, not printable or not free
    │   ├── NotWaitingError   65   a sample id that is not in the queue
    │   ├── AnsweredError     65   a sample of the queue that somebody has answered before
    │   └── RepeatedError     65   a request that was carried out before
    ├── ArtifactError         66   the artifact is missing, changed, foreign or not understood
    ├── RuntimeUnavailable    69   ONNX Runtime, an engine or a provider cannot do what was asked
    └── StateError            73   the state directory cannot be used: foreign, damaged, read-only, full
        └── StateBusyError    73   another process holds the state for longer than the wait allows

Each carries `exit_code` (see sysexits.h; `health` alone uses 0–3), `code`, the word that programs decide by, and a `hint`: what the user
can do about it.
"""

from __future__ import annotations

from typing import ClassVar


class EdgeAgentError(Exception):
    """The root of the tree: one sentence that says what, where, expected and got, and a hint.

    Args:
        message: what went wrong, with the name of the thing, what was expected and what was found.
        hint: what the user can do about it; may be empty.
    """

    exit_code: ClassVar[int] = 70
    code: ClassVar[str] = "unexpected"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """One line: the message, and the hint behind a semicolon."""
        line = f"{self.message}; hint: {self.hint}" if self.hint else self.message
        return " ".join(line.split())

    def as_json(self) -> dict[str, object]:
        """The error as programs get it: `{"error": {"code", "message", "hint"}}`."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class UsageError(EdgeAgentError):
    """The call itself is wrong: an unknown option or name, a value out of its range."""

    exit_code = 64
    code = "usage"


class InputError(EdgeAgentError):
    """A picture, an array, a folder or a weights file that cannot be used."""

    exit_code = 65
    code = "input"


class LabelError(InputError):
    """A label that is unknown, empty, not printable or not free."""

    code = "label"


class NotWaitingError(InputError):
    """A sample id that is not in the queue: never offered, or it has left for ones worth more."""

    code = "not_found"


class AnsweredError(InputError):
    """A sample of the queue that was labelled, skipped or called unsure before; nothing changed."""

    code = "answered"


class RepeatedError(InputError):
    """A request with the name of one that was carried out before; nothing changed."""

    code = "repeated"


class ArtifactError(EdgeAgentError):
    """The artifact is missing, changed, foreign or not understood."""

    exit_code = 66
    code = "artifact"


class RuntimeUnavailable(EdgeAgentError):
    """ONNX Runtime, an engine or a provider cannot do what was asked of it."""

    exit_code = 69
    code = "runtime"


class StateError(EdgeAgentError):
    """The state directory cannot be used: foreign, damaged, read-only or full."""

    exit_code = 73
    code = "state"

    def __init__(self, message: str, hint: str = "", may_pass: bool = False) -> None:
        """As the root's; `may_pass` says that the disk or the system is at fault and not what was found: a head that serves, serves on."""
        super().__init__(message, hint)
        self.may_pass = may_pass


class StateBusyError(StateError):
    """Another process holds the state for longer than the wait allows."""

    code = "busy"

    def __init__(self, message: str, hint: str = "") -> None:
        """As the root's."""
        super().__init__(message, hint, may_pass=True)
