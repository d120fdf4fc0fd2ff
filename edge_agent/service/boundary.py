"""The outermost layer: whatever goes wrong becomes one JSON error, and every answer has the headers that keep a browser strict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_agent.errors import EdgeAgentError
from edge_agent.service.limits import ServiceLimits
from edge_agent.service.meter import Meter
from edge_agent.service.problems import Problem, as_problem

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_UNREAD_S = 2.0  # how long a body that nobody wants is still taken in, so that its sender comes to read the answer


class Boundary:
    """Answers, whatever the layers below it do."""

    def __init__(self, app: ASGIApp, limits: ServiceLimits, meter: Meter, note: Callable[[str], None]) -> None:
        """Bind the parts.

        Args:
            app: what comes next.
            limits: how much of an unwanted body is read.
            meter: counts the answers.
            note: told in words of what should not have happened.
        """
        self._app, self._limits, self._meter, self._note = app, limits, meter, note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the lifespan's messages pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _Call(scope, receive, send)
        started = time.perf_counter()
        try:
            await self._app(scope, call.receive, call.send)
        except _Gone:
            return
        except Exception as error:
            problem = self._problem(error)
            if call.status:  # half an answer has gone out: the connection cannot be used again
                raise
            await self._refuse(call, problem)
        finally:
            self._meter.answered(scope.get("edge_agent.route", "none"), scope["method"], call.status, time.perf_counter() - started)

    def _problem(self, error: Exception) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, EdgeAgentError):
            return as_problem(error)
        if isinstance(error, HTTPException):
            if error.status_code == 405:
                return Problem(405, "method", "this path does not take this method", "see /openapi.json", error.headers)
            return Problem(error.status_code, "not_found" if error.status_code == 404 else "http", str(error.detail), "see /openapi.json")
        self._note(f"unexpected {type(error).__name__}: {error}; report it")
        return Problem(500, "unexpected", f"unexpected {type(error).__name__}", "see the service's messages, and report it")

    async def _refuse(self, call: _Call, problem: Problem) -> None:
        """Send an error; a body that is still coming is taken in for a moment, or its sender would never read the answer."""
        response, body = problem.response(), problem.body()
        headers = [*response.raw_headers, *([] if call.is_read else [(b"connection", b"close")])]
        await call.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await call.send({"type": "http.response.body", "body": body, "more_body": not call.is_read})
        if not call.is_read:
            with contextlib.suppress(asyncio.TimeoutError, _Gone):
                await asyncio.wait_for(call.read_on(4 * self._limits.body_bytes), _UNREAD_S)
            await call.send({"type": "http.response.body", "body": b"", "more_body": False})


class _Gone(Exception):
    """The client has closed the connection before its request was complete."""


class _Call:
    """One request and its answer: how far the body was read, and what status was sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = [value for name, value in scope["headers"] if name in (b"content-length", b"transfer-encoding")]
        self.is_read = not announced or announced == [b"0"]
        self.status = 0
        self._receive, self._send = receive, send

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        self.is_read = self.is_read or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def read_on(self, most_bytes: int) -> None:
        while not self.is_read and most_bytes > 0:
            most_bytes -= len((await self.receive()).get("body", b""))
