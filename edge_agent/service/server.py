"""The service from its start to its end: listen, look at itself, answer, and stop so that nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from edge_agent.agent import EdgeAgent
from edge_agent.errors import EdgeAgentError, RuntimeUnavailable
from edge_agent.service.address import Address
from edge_agent.service.admission import Admission
from edge_agent.service.boundary import Boundary
from edge_agent.service.failures import Failures
from edge_agent.service.limits import ServiceLimits
from edge_agent.service.parts import Parts
from edge_agent.service.protocol import bounded
from edge_agent.service.routes import router
from edge_agent.service.systemd import Supervisor
from edge_agent.service.token import Token

_TICK_S = 0.05


def application(parts: Parts, token: Token, hosts: frozenset[str], note: Callable[[str], None]) -> ASGIApp:
    """The layers around the routes, the outermost last.

    Args:
        parts: what the handlers work with.
        token: what clients must know.
        hosts: what the Host header may be.
        note: told in words of what an operator should know.
    """
    failures = Failures(parts.limits, time.monotonic)
    return Boundary(Admission(router(parts), token, hosts, failures, note), parts.limits, parts.meter, note)


def serve(agent: EdgeAgent, limits: ServiceLimits, address: Address, token: Token, note: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        agent: the one agent of this process.
        limits: of the service.
        address: where to listen.
        token: what clients must know.
        note: told in words of what an operator should know: where it listens, that it stops, what should not have happened.

    Raises:
        RuntimeUnavailable: it cannot listen there, or the first self-prediction is wrong.
    """
    parts, supervisor = Parts.of(agent, limits), Supervisor(os.environ)
    listening = address.listen()
    try:
        port = 0 if address.socket_path is not None else int(listening.getsockname()[1])
        app = application(parts, token, address.allowed_hosts(port), note)
        config = uvicorn.Config(
            app, http=bounded(limits), ws="none", lifespan="off", loop="asyncio", log_config=None, log_level=logging.CRITICAL,
            access_log=False, proxy_headers=False, server_header=False, h11_max_incomplete_event_size=limits.head_bytes,
            timeout_keep_alive=limits.keep_alive_s, timeout_graceful_shutdown=max(1, round(limits.stop_s)),
        )  # fmt: skip
        server = _Server(config, parts, supervisor, note, f"serving {agent.artifact.manifest.model.name} on {address.shown(port)}")
        server.run([listening])
    finally:
        listening.close()
        address.close()
        for lane in parts.lanes:
            lane.shut()
    if server.fault:
        raise RuntimeUnavailable(server.fault, "see edge-agent health")


class _Server(uvicorn.Server):
    """uvicorn's server with a first look before it is ready, looks at itself while it runs, and a stop in two steps."""

    def __init__(self, config: uvicorn.Config, parts: Parts, supervisor: Supervisor, note: Callable[[str], None], greeting: str) -> None:
        super().__init__(config)
        self._parts, self._supervisor, self._note, self._greeting = parts, supervisor, note, greeting
        self._signals, self.fault = 0, ""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks for a graceful stop, the second one for an end at once."""
        self._signals += 1
        if self._signals > 1:
            self.force_exit = self.should_exit = True

    async def main_loop(self) -> None:
        """Run until a signal, then until nothing is under way."""
        if not await self._parts.self_check.look():
            self.fault = f"the first self-prediction failed: {self._parts.self_check.fault}"
            return
        await self._warm_up()
        watching = asyncio.create_task(self._watch())
        self._supervisor.tell("READY=1", f"STATUS={self._greeting}")
        self._note(self._greeting)
        try:
            while not self._signals:
                await self.on_tick(0)
                await asyncio.sleep(_TICK_S)
            await self._stop()
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _warm_up(self) -> None:
        """Start the engine now, so that the first correction need not; a device without one predicts all the same."""
        try:
            await self._parts.teaching.run(self._parts.agent.info)
        except EdgeAgentError as error:
            self._note(f"nothing can be taught: {error}")

    async def _stop(self) -> None:
        """Take nothing new, and let what is under way be finished and acknowledged; connections are still answered meanwhile."""
        self._supervisor.tell("STOPPING=1", "STATUS=finishing what is under way")
        self._note("stopping: what is under way is finished, nothing new is taken")
        for lane in self._parts.lanes:
            lane.close()
        deadline = time.monotonic() + self._parts.limits.stop_s
        while any(lane.under_way for lane in self._parts.lanes) and time.monotonic() < deadline and not self.force_exit:
            await asyncio.sleep(_TICK_S)

    async def _watch(self) -> None:
        """Look again and again; systemd's watchdog is told only when the answer was right."""
        own_s, watchdog_s = self._parts.limits.self_check_s, self._supervisor.watchdog_s
        pause_s = own_s if watchdog_s is None else min(own_s, watchdog_s / 2)
        self._supervisor.tell("WATCHDOG=1")  # the first look was right
        while True:
            await asyncio.sleep(pause_s)
            was = self._parts.self_check.fault
            if await self._parts.self_check.look():
                self._supervisor.tell("WATCHDOG=1")
            if self._parts.self_check.fault != was:
                self._note(self._parts.self_check.fault or "the service predicts again")
