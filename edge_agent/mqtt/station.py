"""The life of `edge-agent mqtt`: the agent's thread takes what has arrived, one after the other, and publishes what came of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from edge_agent.agent import EdgeAgent
from edge_agent.errors import RuntimeUnavailable
from edge_agent.health_settings import HealthSettings
from edge_agent.mqtt.desk import Desk
from edge_agent.mqtt.discovery import announcements
from edge_agent.mqtt.inbox import Inbox
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import MqttSettings
from edge_agent.mqtt.topics import Message, Publication

STOP_S = 5.0


class _Busy(RuntimeUnavailable):
    """All places to wait are taken; nothing was done."""

    code = "busy"


class Station:
    """One agent at one broker; `run` works in the thread that calls it until `stop` is called from another."""

    def __init__(
        self,
        agent: EdgeAgent,
        settings: MqttSettings,
        health: HealthSettings,
        collect: bool,
        tell: Callable[[str], None] = lambda line: None,
        published: Callable[[Publication], None] = lambda publication: None,
    ) -> None:
        """Bind the parts; nothing is sent yet.

        Args:
            agent: opened.
            settings: broker, topics, limits.
            health: which checks the report makes.
            collect: whether predictions are offered to the queue.
            tell: for people: one line on what happens to the connection.
            published: told of everything that is published.

        Raises:
            UsageError: paho-mqtt is not installed, or a certificate or the password file cannot be read.
        """
        self._settings, self._tell, self._published = settings, tell, published
        self._announced = announcements(settings, agent.artifact.manifest.model.name)
        self._inbox, self._came_up = Inbox(settings.waiting), threading.Event()
        self._desk = Desk(agent, settings, health, collect)
        self._link = Link(settings, self._heard, self._up, tell)

    def run(self) -> None:
        """Work until `stop`.

        Raises:
            RuntimeUnavailable: the broker does not want us, for a wrong password, say.
        """
        self._link.start()
        try:
            due = time.monotonic()
            while self._inbox.is_open:
                message = self._inbox.take(max(0.0, due - time.monotonic()) if self._link.is_up else self._settings.health_s)
                if self._link.failure is not None:
                    raise self._link.failure
                if message is not None:
                    self._work(message)
                if self._came_up.is_set():
                    self._came_up.clear()
                    self._send(self._announced)
                    due = time.monotonic()
                if self._inbox.is_open and self._link.is_up and time.monotonic() >= due:
                    self._send(self._desk.state())
                    due = time.monotonic() + self._settings.health_s
        finally:
            self._link.stop(STOP_S)

    def stop(self) -> None:
        """End `run` after what it is doing; commands that wait stay with the broker and come again."""
        self._inbox.close()

    def _work(self, message: Message) -> None:
        self._send(self._desk.handle(message))
        self._link.acknowledge(message)

    def _heard(self, message: Message) -> None:
        """In the network's thread."""
        if not self._inbox.put(message):
            busy = _Busy(f"too many messages for {message.command} wait already; this one was dropped", "send it again later")
            self._send([self._desk.failure(message, busy)])
            self._link.acknowledge(message)

    def _up(self) -> None:
        """In the network's thread."""
        self._came_up.set()
        self._inbox.wake()

    def _send(self, publications: list[Publication]) -> None:
        for publication in publications:
            if self._link.publish(publication):
                self._published(publication)
            else:
                self._tell(f"too much waits to be sent; dropped: {publication.topic}")


@contextmanager
def stopped_by_signals(station: Station) -> Iterator[None]:
    """SIGTERM and SIGINT end the station gracefully while the block runs."""

    def stop(number: int, frame: FrameType | None) -> None:
        station.stop()

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
