"""One connection: uvicorn's protocol in pure Python, h11, with limits of time and number, and with our errors.

uvicorn bounds neither how long a client may take for its request line and headers nor how long it may leave an answer unread.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from edge_agent.service.limits import ServiceLimits
from edge_agent.service.problems import Problem, busy


def bounded(limits: ServiceLimits) -> type[H11Protocol]:
    """The protocol for a service with these limits, as uvicorn wants it: a class."""

    class Bounded(BoundedProtocol):
        def __init__(
            self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
        ) -> None:
            super().__init__(config, server_state, app_state, _loop)
            self.limits = limits

    return Bounded


class BoundedProtocol(H11Protocol):
    """Closes a connection whose head does not come, whose answer is not read, or for which there is no room.

    Attributes:
        limits: of the service.
        waits_since: moment of the loop since which the head of a request is awaited; None while one is answered.
    """

    limits: ServiceLimits
    waits_since: float | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or make room for it."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections and not self._make_room():
            self._refuse(busy("connections"))
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._head_arrived()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; the clock of a head starts with its first byte, and a later byte does not set it back."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_arrived()
        elif self._head_timer is None:
            self._await_head()

    def on_response_complete(self) -> None:
        """The next head is awaited: uvicorn's own clock runs until its first byte, ours from there."""
        self.waits_since = self.loop.time()
        super().on_response_complete()
        has_begun = bool(self.conn.trailing_data[0]) and (self.cycle is None or self.cycle.response_complete)
        if has_begun and not self.transport.is_closing() and self._head_timer is None:
            self._unset_keepalive_if_required()
            self._await_head()

    def pause_writing(self) -> None:
        """The client does not read; it has a while."""
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self.limits.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in our shape."""
        is_long = len(self.conn.trailing_data[0]) > self.limits.head_bytes
        if is_long:
            self._refuse(Problem(431, "http", f"the headers are longer than {self.limits.head_bytes} bytes", "send fewer or shorter ones"))
        else:
            self._refuse(Problem(400, "http", "this is not HTTP/1.1 as RFC 9112 has it", "see /openapi.json"))

    def _await_head(self) -> None:
        self.waits_since = self.loop.time()
        self._head_timer = self.loop.call_later(self.limits.head_s, self._head_is_late)

    def _head_arrived(self) -> None:
        self.waits_since = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._refuse(Problem(408, "timeout", f"the headers took longer than {self.limits.head_s:g} s", "send them faster"))

    def _make_room(self) -> bool:
        """Close the other connection that has waited longest for a head; whether there was one."""
        others = [other for other in self.connections if isinstance(other, BoundedProtocol) and other is not self]
        waiting = [(other.waits_since, id(other), other) for other in others if other.waits_since is not None]
        if waiting:
            min(waiting)[2].transport.abort()
        return bool(waiting)

    def _refuse(self, problem: Problem) -> None:
        """Answer without a request, and close."""
        if self.transport.is_closing():
            return
        body = problem.body()
        headers = {**problem.headers, "content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
        try:
            for event in (
                h11.Response(status_code=problem.status, headers=list(headers.items())),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer has begun already
            pass
        self.transport.close()
