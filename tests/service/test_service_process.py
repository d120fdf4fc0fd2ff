"""A service as its supervisor sees it: started, watched, stopped and killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import random
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from on_device import PHOTOS, TRUTHS
from service_running import TOKEN, Answer, Service, command, environment, running

from edge_agent.agent import EdgeAgent
from edge_agent.service.systemd import Supervisor

CORRECTIONS = 12
"""Acknowledged before the kill, which comes a random while later."""
pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")


class Listener:
    """Where a service's datagrams to systemd arrive."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._heard: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def next(self, *, but: str = "") -> str:
        """The next message that does not begin with `but`."""
        while True:
            found = self._heard.get(timeout=60)
            if not but or not found.startswith(but):
                return found

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"", str(self.path))
        self._thread.join(10)
        self._socket.close()

    def _listen(self) -> None:
        while found := self._socket.recv(4096):
            self._heard.put(found.decode())


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    found = Listener(tmp_path)
    yield found
    found.close()


def test_the_life_of_a_service(tmp_path: Path, listener: Listener) -> None:
    """One start for all of it: a Unix socket, systemd, the limit on guesses, a stop while a correction is under way."""
    path, state = tmp_path / "socket", tmp_path / "state"
    watched = {"NOTIFY_SOCKET": str(listener.path), "WATCHDOG_USEC": "400000"}
    with running(state, path=path, **watched) as service:
        assert listener.next(but="WATCHDOG").splitlines()[0] == "READY=1"
        assert [listener.next() for _ in range(3)] == ["WATCHDOG=1"] * 3
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert service.ask("GET", "/readyz").status == 200
        again = command(state, "--uds", str(path))
        second = subprocess.run(again, env=environment(), capture_output=True, text=True, check=False, timeout=60)
        assert second.returncode == 69
        assert "another service listens there" in second.stderr

        statuses = [service.ask("GET", "/v1/info", token=f"{TOKEN}-{guess}").status for guess in range(11)]
        assert statuses == [401] * 10 + [429]
        locked = service.ask("GET", "/v1/info")
        assert (locked.status, locked.code) == (429, "too_many_failures")
        time.sleep(int(locked.headers["retry-after"]) + 0.5)
        assert service.ask("GET", "/v1/info").status == 200

        seen = [service.predict(photo.read_bytes()).json for photo in PHOTOS[:2]]
        assert service.say("POST", "/v1/corrections", {"sample_id": seen[0]["sample_id"], "label": TRUTHS[0]}).status == 200
        assert service.say("POST", "/v1/corrections/1/undo", {}).status == 200
        refused_while_stopping(service, seen, state, listener)
    assert not path.exists()
    said = "".join(service.said)
    assert TOKEN not in said
    agent = EdgeAgent.open(service.process.args[4], state)  # type: ignore[index]
    assert [(entry.id, entry.label, entry.active) for entry in agent.history()] == [(1, TRUTHS[0], False), (2, TRUTHS[0], True)]
    agent.close()


def refused_while_stopping(service: Service, seen: list[dict[str, str]], state: Path, listener: Listener) -> None:
    """Another process holds the journal, so that a correction is under way for as long as we like."""
    holder = sqlite3.connect(state / "journal.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    answers: list[Answer] = []

    def teach() -> None:
        answers.append(service.say("POST", "/v1/corrections", {"sample_id": seen[0]["sample_id"], "label": TRUTHS[0]}))

    under_way = threading.Thread(target=teach)
    under_way.start()
    while 'under_way{lane="corrections"} 1.0' not in metrics_of(service):
        time.sleep(0.02)
    service.process.send_signal(signal.SIGTERM)
    assert listener.next(but="WATCHDOG").splitlines()[0] == "STOPPING=1"
    late = service.say("POST", "/v1/corrections", {"sample_id": seen[1]["sample_id"], "label": TRUTHS[1]})
    assert (late.status, late.code, late.headers["retry-after"]) == (503, "stopping", "1")
    assert (service.ask("GET", "/readyz").status, service.ask("GET", "/livez", token=None).status) == (503, 200)
    assert not answers
    holder.execute("ROLLBACK")
    holder.close()
    under_way.join(30)
    assert (answers[0].status, answers[0].json["verdict"], answers[0].json["id"]) == (200, "accepted", 2)
    assert service.process.wait(30) == 0
    assert service.process.stderr is not None
    service.said.append(service.process.stderr.read())
    assert "stopping" in service.said[-1]


def metrics_of(service: Service) -> str:
    """The service's own counters; the health report beside them waits for nobody."""
    return service.ask("GET", "/metrics").body.decode()


def test_every_acknowledged_correction_is_there_after_a_kill(tmp_path: Path) -> None:
    """Fifty clients predict, one corrects and takes back, and in the middle of it comes kill -9."""
    state = tmp_path / "state"
    acknowledged: list[tuple[str, int]] = []
    faults: list[object] = []
    go_on = threading.Event()
    go_on.set()
    with running(state) as service:
        pictures = [photo.read_bytes() for photo in PHOTOS]

        def predict(place: int) -> None:
            headers = {"authorization": f"Bearer {TOKEN}", "content-type": "image/jpeg"}
            with contextlib.closing(service.connection()) as connection:
                while go_on.is_set():
                    try:
                        connection.request("POST", "/v1/predict", pictures[place % len(pictures)], headers)
                        response = connection.getresponse()
                        answer = json.loads(response.read())
                    except (OSError, ValueError, http.client.HTTPException) as error:
                        if go_on.is_set() and service.process.poll() is None:
                            faults.append(error)
                        return
                    if response.status != 200:
                        faults.append((response.status, answer))

        clients = [threading.Thread(target=predict, args=(place,)) for place in range(50)]
        for client in clients:
            client.start()
        samples = [service.predict(picture).json["sample_id"] for picture in pictures]
        killer = threading.Timer(random.Random(0).uniform(0, 0.1), lambda: (go_on.clear(), service.process.kill()))
        for number in range(100_000):
            place = number % len(samples)
            label = TRUTHS[(place + number // len(samples)) % len(TRUTHS)]
            facts = {"sample_id": samples[place], "label": label, "force": True, "views": 0}
            try:
                if number == CORRECTIONS:
                    killer.start()
                done = service.say("POST", "/v1/corrections", facts)
                acknowledged.append(("correct", done.json["id"]))
                if number % 4 == 3:
                    service.ask("POST", f"/v1/corrections/{done.json['id']}/undo")
                    acknowledged.append(("undo", done.json["id"]))
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                break
        service.process.wait(30)
        killer.join()
        for client in clients:
            client.join(30)
    assert not faults, faults[:3]
    assert service.process.returncode == -signal.SIGKILL
    assert len(acknowledged) >= CORRECTIONS
    agent = EdgeAgent.open(service.process.args[4], state)  # type: ignore[index]
    entries = {entry.id: entry for entry in agent.history()}
    agent.close()
    assert {number for verb, number in acknowledged if verb == "correct"} <= set(entries)
    assert not [number for verb, number in acknowledged if verb == "undo" and entries[number].active]
    assert len(entries) <= len([verb for verb, _ in acknowledged if verb == "correct"]) + 1


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "said"),
    [
        (("--port", "0"), {"EDGE_AGENT_TOKEN": ""}, 64, "no token"),
        (("--port", "0"), {"EDGE_AGENT_TOKEN": "short"}, 64, "expected 16 to 512"),
        (("--port", "0", "--token-file", "/nonexistent"), {}, 64, "cannot be read"),
        (("--port", "0", "--host", "0.0.0.0"), {}, 64, "--allow-remote"),
        (("--port", "0", "--host", "0.0.0.0", "--allow-remote"), {}, 64, "--allow-host"),
        (("--port", "0", "--host", "example.org"), {}, 64, "is no address"),
        (("--uds", "/tmp/x", "--port", "1"), {}, 64, "one way to listen"),
        (("--port", "0"), {"EDGE_AGENT_SERVICE_CONNECTIONS": "many"}, 64, "service limit connections"),
        (("--uds", "/nonexistent/socket"), {}, 69, "cannot be listened on"),
    ],
)
def test_what_is_not_safe_does_not_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], variables: dict[str, str], status: int, said: str,
) -> None:  # fmt: skip
    from edge_agent import cli

    for name, value in {"EDGE_AGENT_TOKEN": TOKEN, **variables}.items():
        monkeypatch.setenv(name, value)
    assert cli.run(command(tmp_path / "state", *arguments)[3:]) == status
    error = capfd.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert TOKEN not in error
    assert not (tmp_path / "state").exists()


def test_a_supervisor_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for _ in range(20):
            supervisor.tell("WATCHDOG=1")
        assert deaf.recv(100) == b"WATCHDOG=1"


def test_nobody_is_told_where_nobody_listens(tmp_path: Path) -> None:
    for variables in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nothing")}, {"NOTIFY_SOCKET": "@nothing"}):
        Supervisor(variables).tell("READY=1")
    assert Supervisor({"WATCHDOG_USEC": "3000000"}).watchdog_s == 3
    assert Supervisor({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid() + 1)}).watchdog_s is None
    assert Supervisor({"WATCHDOG_USEC": "x"}).watchdog_s is None
