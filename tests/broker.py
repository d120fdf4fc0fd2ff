"""A real broker for tests: Debian's mosquitto on a free loopback port, with a person's client beside it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60.0
_PLACES = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")  # not on everybody's PATH


def missing() -> str:
    """Why no broker can be had here, or nothing."""
    if importlib.util.find_spec("paho") is None:
        return "no MQTT client: pip install paho-mqtt"
    return "" if executable() is not None else "no MQTT broker: apt-get install mosquitto"


def executable() -> str | None:
    """The broker to start."""
    return shutil.which("mosquitto") or next(filter(os.path.exists, _PLACES), None)


class Broker:
    """A mosquitto that can be killed and started again on the same port."""

    def __init__(self, folder: Path, *lines: str) -> None:
        """Name it; `lines` are of its configuration, behind those of the listener."""
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._configuration, self._log = folder / "mosquitto.conf", folder / "log"
        owner = ["user root"] if os.geteuid() == 0 else []  # else it becomes another user, who may not read a test's files
        text = [*owner, f"listener {self.port} 127.0.0.1", *(lines or ("allow_anonymous true",))]
        self._configuration.write_text("\n".join(text) + "\n", "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = executable()
        assert program is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", self._configuration], stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            assert self._process.poll() is None, self._log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"mosquitto does not listen: {self._log.read_text()}")

    def kill(self) -> None:
        """Stop it as a power cut does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Person:
    """Somebody at the broker who sees everything and sends commands."""

    def __init__(self, broker: Broker) -> None:
        """Connect, and wait until it is so."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self._changed, self.heard = threading.Condition(), list[tuple[str, bytes]]()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._note
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert ready.wait(PATIENCE_S)

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic: str, payload: bytes | dict[str, Any] = b"", qos: int = 1, retain: bool = False) -> None:
        """Publish, and wait until the broker has it."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, data, qos, retain).wait_for_publish(PATIENCE_S)

    def answers(self, topic: str) -> list[Any]:
        """Every JSON that came on a topic."""
        with self._changed:
            return [json.loads(payload) for where, payload in self.heard if where == topic]

    def wait(self, topic: str, fits: Callable[[Any], bool] = lambda facts: True) -> Any:
        """The first JSON on a topic that fits."""
        found: list[Any] = []

        def came() -> bool:
            found[:] = [facts for facts in (_decoded(payload) for where, payload in self.heard if where == topic) if fits(facts)]
            return bool(found)

        with self._changed:
            assert self._changed.wait_for(came, PATIENCE_S), f"nothing fits on {topic}: {[h for h in self.heard if h[0] == topic][-5:]}"
        return found[0]

    def wait_for_count(self, topic: str, count: int) -> None:
        """Until so many messages came on a topic."""
        with self._changed:
            assert self._changed.wait_for(lambda: sum(where == topic for where, _ in self.heard) >= count, PATIENCE_S), self.heard[-5:]

    def forget(self) -> None:
        """Look only at what comes from now on."""
        with self._changed:
            self.heard.clear()

    def _note(self, client: object, data: object, message: Any) -> None:
        with self._changed:
            self.heard.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()


def _decoded(payload: bytes) -> Any:
    return payload.decode() if payload in (b"online", b"offline") else json.loads(payload or b"null")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that lets everybody in."""
    if fault := missing():
        pytest.skip(fault)
    found = Broker(tmp_path / "broker")
    found.start()
    yield found
    found.kill()


@pytest.fixture
def person(broker: Broker) -> Iterator[Person]:
    """Somebody at that broker."""
    found = Person(broker)
    yield found
    found.close()
