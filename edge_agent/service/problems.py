"""Every error of the service in one shape: `{"error": {"code", "message", "hint"}}`, with the status that fits."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response

from edge_agent.errors import (
    AnsweredError,
    EdgeAgentError,
    InputError,
    NotWaitingError,
    RepeatedError,
    StateBusyError,
    UsageError,
)

RETRY_S = 1
"""What `Retry-After` says where nothing better is known: what is waited for takes tens of milliseconds."""
_STATUSES: tuple[tuple[type[EdgeAgentError], int], ...] = (
    (NotWaitingError, 404), (AnsweredError, 409), (RepeatedError, 409), (InputError, 422), (UsageError, 400), (StateBusyError, 503),
)  # fmt: skip
CODES = (
    "http", "host", "unauthorized", "too_many_failures", "not_found", "method", "usage", "input", "label", "media_type", "too_large",
    "timeout", "conflict", "answered", "repeated", "busy", "stopping", "state", "artifact", "runtime", "unexpected",
)  # fmt: skip
"""Every code there is; clients decide by these, the messages are for people."""


class Problem(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        code: one of `CODES`.
        message: what, where, expected and got.
        hint: what the client can do about it.
        headers: of the answer, beside the usual ones.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The JSON."""
        return rendered({"error": {"code": self.code, "message": self.message, "hint": self.hint}})

    def response(self) -> Response:
        """The answer."""
        return Response(self.body(), self.status, self.headers, "application/json")


def busy(what: str) -> Problem:
    """The answer where a bounded queue is full."""
    return Problem(503, "busy", f"too many {what} wait already", "try again later", {"retry-after": str(RETRY_S)})


def stopping() -> Problem:
    """The answer where the service is about to stop."""
    hint = "nothing was changed; try again when it has started again"
    return Problem(503, "stopping", "the service is stopping and takes nothing new", hint, {"retry-after": str(RETRY_S)})


def as_problem(error: EdgeAgentError) -> Problem:
    """One of the agent's errors as an answer; its hint names the command line's way, which is this device's."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    return Problem(status, error.code, error.message, error.hint, {"retry-after": str(RETRY_S)} if status == 503 else {})


def rendered(facts: object) -> bytes:
    """JSON as it is sent: one line; text that is no Unicode (a file's name need not be any) is sent with question marks."""
    return json.dumps(facts, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


class Json(Response):
    """An answer of JSON."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """See `rendered`."""
        return rendered(content)
