"""A service in a process of its own, as it is installed: real sockets, a real state, really stopped and killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from on_device import ARTIFACT, ROOT

TOKEN = "a-token-that-only-the-tests-know"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error, whose shape is looked at here."""
        found = self.json
        assert set(found) == {"error"}
        assert set(found["error"]) == {"code", "message", "hint"}
        assert all(isinstance(text, str) for text in found["error"].values())
        return str(found["error"]["code"])


@dataclass
class Service:
    """A running service and a way to ask it."""

    process: subprocess.Popen[str]
    port: int
    state: Path
    path: Path | None = None
    said: list[str] = field(default_factory=list)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, token: str | None = TOKEN
    ) -> Answer:
        """One request on a connection of its own."""
        connection = self.connection()
        try:
            bearer = {} if token is None else {"authorization": f"Bearer {token}"}
            connection.request(method, path, body, {**bearer, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def say(self, method: str, path: str, facts: object) -> Answer:
        """One request with a JSON body."""
        return self.ask(method, path, json.dumps(facts).encode(), {"content-type": "application/json"})

    def predict(self, picture: bytes, query: str = "") -> Answer:
        """One picture, raw."""
        return self.ask("POST", f"/v1/predict{query}", picture, {"content-type": "image/jpeg"})

    def connection(self) -> http.client.HTTPConnection:
        """A connection that stays open."""
        connection = http.client.HTTPConnection("localhost" if self.path else "127.0.0.1", self.port, timeout=30)
        if self.path:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(30)
            connection.sock.connect(str(self.path))
        return connection

    def raw(self) -> socket.socket:
        """A bare TCP connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


def environment(**variables: str) -> dict[str, str]:
    """Of a service: our source, and the token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_AGENT_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "EDGE_AGENT_TOKEN": TOKEN, **variables}


def command(state: Path, *arguments: str) -> list[str]:
    """The command line of a service."""
    return [sys.executable, "-m", "edge_agent.cli", "--artifact", str(ARTIFACT), "--state", str(state), "serve", *arguments]


@contextlib.contextmanager
def running(state: Path, *arguments: str, path: Path | None = None, **variables: str) -> Iterator[Service]:
    """Start a service and wait until it says that it serves; end it if the test did not."""
    options = ("--uds", str(path)) if path else ("--port", "0")
    process = subprocess.Popen(
        command(state, *options, *arguments), cwd=ROOT, env=environment(**variables), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("serving "), line + process.stderr.read()
        port = 80 if path else int(line.rstrip().rstrip("/").rpartition(":")[2])
        yield Service(process, port, state, path, [line])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stderr is not None:
            process.stderr.close()
