"""The whole of it at a real broker: what arrives is answered, what was acknowledged is in the journal, and every loss is survived."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import PATIENCE_S, Broker, Person, missing
from on_device import ARTIFACT, PHOTOS, ROOT, TRUTHS

from edge_agent.agent import EdgeAgent
from edge_agent.errors import RuntimeUnavailable, UsageError
from edge_agent.health_settings import HealthSettings
from edge_agent.mqtt.desk import Desk
from edge_agent.mqtt.settings import MqttSettings
from edge_agent.mqtt.station import Station
from edge_agent.mqtt.topics import Message, Publication, Topics
from edge_agent.settings import Settings

pytestmark = pytest.mark.usefixtures("shared_backbone")
PICTURES = [path.read_bytes() for path in PHOTOS]
T = Topics("plant/press")


class Running:
    """Stations that run in threads, each with what became of it."""

    def __init__(self, state: Path) -> None:
        self.agent = EdgeAgent.open(ARTIFACT, state, settings=Settings(queue_worth=0.0, views=0))
        self.lines, self._changed = list[str](), threading.Condition()
        self._all: list[tuple[Station, threading.Thread]] = []
        self.raised: list[BaseException] = []

    def start(self, broker: Broker, **changes: Any) -> Station:
        flags = {"broker": f"127.0.0.1:{broker.port}", "prefix": T.prefix, "client_id": "press", "retry_s": 1, **changes}
        settings = MqttSettings.load(None, {}, flags)
        station = Station(self.agent, settings, HealthSettings(("state",)), True, self._tell)
        thread = threading.Thread(target=self._run, args=(station,))
        self._all.append((station, thread))
        thread.start()
        return station

    def stop(self) -> None:
        for station, thread in self._all:
            station.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        self._all.clear()

    def wait_for_line(self, words: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(words in line for line in self.lines), PATIENCE_S), self.lines

    def wait_for_end(self) -> None:
        for _, thread in self._all:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _tell(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def _run(self, station: Station) -> None:
        try:
            station.run()
        except BaseException as error:
            self.raised.append(error)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path / "state")
    yield found
    found.stop()
    found.agent.close()


def is_online(facts: Any) -> bool:
    return bool(facts == "online")


def test_the_loop_from_picture_to_undo(broker: Broker, person: Person, running: Running) -> None:
    running.start(broker)
    person.wait(T.availability, is_online)
    assert person.wait(T.health)["status"] == "OK"
    assert person.wait("homeassistant/sensor/press/label/config")["state_topic"] == T.prediction
    person.send(T.command("predict") + "/cam-1", PICTURES[0], qos=0)
    seen = person.wait(T.prediction)
    assert (seen["image"], seen["queue"]["kept"]) == ("cam-1", True)
    assert person.wait(T.queue, lambda facts: facts["waiting"] == 1)["next"]["sample_id"] == seen["sample_id"]
    person.send(T.command("correct"), {"sample_id": seen["sample_id"], "label": TRUTHS[0], "command_id": "1"})
    verdict = person.wait(T.verdict)
    assert (verdict["verdict"], verdict["command_id"], verdict["now"]["label"]) == ("accepted", "1", TRUTHS[0])
    assert running.agent.history()[0].label == TRUTHS[0]
    person.send(T.command("correct"), {"sample_id": seen["sample_id"], "label": TRUTHS[0], "command_id": "1"})
    assert person.wait(T.verdict, lambda facts: facts.get("repeated"))["ids"] == [1]
    person.send(T.command("undo"), b"PRESS")
    assert person.wait(T.undone)["ids"] == [1]
    person.send(T.command("correct"), b"{}")
    assert person.wait(T.error)["error"]["code"] == "input"
    assert len(running.agent.history()) == 1
    running.stop()
    person.wait(T.availability, lambda facts: facts == "offline")
    assert running.raised == []


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_who_comes_later_is_told_and_what_the_broker_keeps_is_not_carried_out(
    broker: Broker, person: Person, running: Running, protocol: str
) -> None:
    person.send(T.command("undo"), b"PRESS", retain=True)
    running.agent.correct(PICTURES[0], TRUTHS[0])
    running.start(broker, protocol=protocol)
    person.wait(T.availability, is_online)
    if protocol == "3.1.1":  # this one gets what is kept
        assert "retained" in person.wait(T.error)["error"]["message"]
    person.send(T.command("predict"), PICTURES[1])
    person.wait(T.prediction)
    assert running.agent.history()[0].active
    late = Person(broker)
    try:
        for topic in (T.availability, T.prediction, T.health, T.queue):
            late.wait(topic)
    finally:
        late.close()


def test_the_broker_is_killed_and_comes_back(broker: Broker, person: Person, running: Running) -> None:
    running.start(broker)
    person.wait(T.availability, is_online)
    broker.kill()
    running.wait_for_line("the connection is lost")
    assert running.agent.predict(PICTURES[0]).label, "the agent does not mind"
    person.forget()
    broker.start()
    person.wait(T.availability, is_online)
    person.wait(T.health)
    person.wait("homeassistant/button/press/undo/config")
    person.send(T.command("predict"), PICTURES[0])
    sample_id = person.wait(T.prediction)["sample_id"]
    person.send(T.command("correct"), {"sample_id": sample_id, "label": TRUTHS[0]})
    assert person.wait(T.verdict)["verdict"] == "accepted"
    assert running.raised == []


def test_it_waits_for_a_broker_that_is_not_there_yet(broker: Broker, running: Running) -> None:
    broker.kill()
    running.start(broker)
    running.wait_for_line("cannot be reached; trying again")
    broker.start()
    running.wait_for_line("connected to")


def test_a_flood_is_answered_and_bounded(
    broker: Broker, person: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, gate, real = threading.Event(), threading.Event(), Desk.handle

    def handle(desk: Desk, message: Message) -> list[Publication]:
        at_work.set()
        return real(desk, message) if gate.wait(PATIENCE_S) else []

    monkeypatch.setattr(Desk, "handle", handle)
    running.start(broker, waiting=2)
    person.wait(T.availability, is_online)
    person.send(T.command("predict"), PICTURES[0])
    assert at_work.wait(PATIENCE_S)
    for picture in PICTURES[1:6]:
        person.send(T.command("predict"), picture)
    person.wait_for_count(T.error, 3)  # the rest must have come before the gate opens, or they find room
    assert {error["error"]["code"] for error in person.answers(T.error)} == {"busy"}
    person.send(T.command("undo"), b'{"command_id": "first"}')
    gate.set()
    person.wait(T.error, lambda facts: facts.get("command_id") == "first")
    person.wait_for_count(T.prediction, 3)  # one at work, two that waited
    assert len(person.answers(T.error)) == 4


def test_a_message_that_is_much_too_large_is_not_delivered(broker: Broker, person: Person, running: Running) -> None:
    running.start(broker, picture_bytes=4096)
    person.wait(T.availability, is_online)
    person.send(T.command("predict"), bytes(100_000))
    person.send(T.command("predict"), bytes(5000))
    assert "5000 bytes" in person.wait(T.error)["error"]["message"]
    assert len(person.answers(T.error)) == 1


class TestWithAPassword:
    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Iterator[Broker]:
        tool = shutil.which("mosquitto_passwd")
        if tool is None or missing():
            pytest.skip(missing() or "no mosquitto_passwd: apt-get install mosquitto")
        secrets = tmp_path / "passwords"
        subprocess.run([tool, "-b", "-c", secrets, "agent", "sesame"], check=True, capture_output=True)
        secrets.chmod(0o644)
        found = Broker(tmp_path / "guarded", f"password_file {secrets}")
        found.start()
        yield found
        found.kill()

    def test_the_right_one(self, guarded: Broker, running: Running, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("sesame\n")
        running.start(guarded, user="agent", password_file=str(tmp_path / "secret"))
        running.wait_for_line("connected to")
        assert "sesame" not in "".join(running.lines)

    @pytest.mark.parametrize("protocol", ["5", "3.1.1"])
    def test_a_wrong_one_ends_with_what_to_do(self, guarded: Broker, running: Running, tmp_path: Path, protocol: str) -> None:
        (tmp_path / "secret").write_text("guess\n")
        running.start(guarded, user="agent", password_file=str(tmp_path / "secret"), protocol=protocol)
        running.wait_for_end()
        (error,) = running.raised
        assert isinstance(error, RuntimeUnavailable)
        assert "refuses the connection" in str(error)
        assert "guess" not in str(error)


class TestEncrypted:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> tuple[Path, Path]:
        tool = shutil.which("openssl")
        if tool is None:
            pytest.skip("no openssl to make a certificate with")
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        subprocess.run(
            [tool, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=broker",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True,
        )  # fmt: skip
        key.chmod(0o644)
        return key, certificate

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused connection to be collected
    def test_the_certificate_is_checked(self, certificate: tuple[Path, Path], running: Running, tmp_path: Path) -> None:
        if fault := missing():
            pytest.skip(fault)
        key, own = certificate
        found = Broker(tmp_path / "encrypted", "allow_anonymous true", f"certfile {own}", f"keyfile {key}")
        found.start()
        try:
            running.start(found, tls=True)
            running.wait_for_line("cannot be reached")
            running.stop()
            running.start(found, tls=True, ca_file=str(own))
            running.wait_for_line("connected to")
        finally:
            running.stop()
            found.kill()

    def test_files_that_are_none(self, broker: Broker, running: Running, tmp_path: Path) -> None:
        for name, content in (("absent", None), ("nonsense", "no certificate")):
            if content is not None:
                (tmp_path / name).write_text(content)
            with pytest.raises(UsageError, match="certificates cannot be read"):
                running.start(broker, tls=True, ca_file=str(tmp_path / name))


@pytest.fixture
def process(broker: Broker, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts the command itself, with everything worth asking about."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge_agent.cli", "--artifact", ARTIFACT, "--state", tmp_path / "state", "mqtt", "--collect",
                   "--broker", f"127.0.0.1:{broker.port}", "--prefix", T.prefix, "--client-id", "press", "--json"]  # fmt: skip
        environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "EDGE_AGENT_QUEUE_WORTH": "0", "EDGE_AGENT_THREADS": "1"}
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()
        assert one.stderr is not None
        one.stderr.close()


def test_killed_at_any_moment_each_command_is_carried_out_once(
    person: Person, process: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    """The broker keeps what was not acknowledged; the journal knows what was done. Two kills, and a graceful end."""
    first = process()
    person.wait(T.availability, is_online)
    for number, picture in enumerate(PICTURES):
        person.send(T.command("predict"), picture)
        person.wait(T.queue, lambda facts, number=number: facts["waiting"] == number + 1)
    ids = [facts["sample_id"] for facts in person.answers(T.prediction)]
    for number, (sample_id, truth) in enumerate(zip(ids, TRUTHS, strict=True)):
        person.send(T.command("correct"), {"sample_id": sample_id, "label": truth, "command_id": f"c{number}"})
    running = first
    for verdicts in (2, 6):
        person.wait_for_count(T.verdict, verdicts)
        running.send_signal(signal.SIGKILL)
        running.wait()
        running = process()
    for number in range(len(ids)):
        person.wait(T.verdict, lambda facts, number=number: facts["command_id"] == f"c{number}")
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE_S) == 0
    agent = EdgeAgent.open(ARTIFACT, tmp_path / "state")
    assert sorted(entry.label for entry in agent.history()) == sorted(TRUTHS), "none lost, none twice"
    assert all(entry.verdict == "accepted" for entry in agent.history())
    assert len(agent.queue) == 0
    assert all(agent.predict(picture).label == truth for picture, truth in zip(PICTURES, TRUTHS, strict=True))
    agent.close()
