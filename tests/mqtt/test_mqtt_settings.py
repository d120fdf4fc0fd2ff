"""Where the broker is and who we are there: defaults < file < environment < flag, and what cannot be is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import UsageError
from edge_agent.mqtt.settings import MqttSettings
from edge_agent.settings import Settings


def load(**flags: object) -> MqttSettings:
    return MqttSettings.load(None, {}, {"broker": "localhost", **flags})


def test_each_source_wins_over_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[mqtt]\nbroker = "from-file"\nprefix = "of/file"\nname = "Press 4"\n')
    environment = {"EDGE_AGENT_MQTT_PREFIX": "of/environment", "EDGE_AGENT_MQTT_TLS": "yes", "EDGE_AGENT_MQTT_NAME": "Press 5"}
    found = MqttSettings.load(file, environment, {"name": "Press 6", "user": None})
    assert (found.broker, found.prefix, found.name, found.tls, found.user) == ("from-file", "of/environment", "Press 6", True, "")
    assert MqttSettings.load(None, {"EDGE_AGENT_SETTINGS": str(file)}, {}) == MqttSettings.load(file, {}, {})
    assert Settings.load(file, {}, {}) == Settings(), "the agent's own settings do not mind the table"


def test_what_is_not_said_is_the_machine() -> None:
    found = load()
    assert found.prefix.startswith("edge-agent/")
    assert found.client_id.startswith("edge-agent-")
    assert found.name


@pytest.mark.parametrize(
    ("broker", "tls", "address"),
    [
        ("broker.example", False, ("broker.example", 1883)), ("broker.example", True, ("broker.example", 8883)),
        ("10.0.0.7:1884", False, ("10.0.0.7", 1884)), ("[::1]", False, ("::1", 1883)), ("[fe80::1%eth0]:9", True, ("fe80::1%eth0", 9)),
    ],
)  # fmt: skip
def test_addresses(broker: str, tls: bool, address: tuple[str, int]) -> None:
    assert load(broker=broker, tls=tls).address == address


@pytest.mark.parametrize(
    "flags",
    [
        {"broker": ""}, {"broker": "a b"}, {"broker": "mqtt://host"}, {"broker": "host:0"}, {"broker": "host:65536"}, {"broker": "host:x"},
        {"broker": "me:secret@host"}, {"prefix": "a/+/b"}, {"prefix": "a/#"}, {"prefix": "/a"}, {"prefix": "a/"}, {"prefix": "a//b"},
        {"prefix": "$SYS/a"}, {"prefix": "a\x00"}, {"prefix": "x" * 201}, {"prefix": ""}, {"client_id": ""}, {"client_id": "a b"},
        {"client_id": "x" * 65}, {"protocol": "3.1"}, {"name": ""}, {"name": "a\nb"}, {"discovery_prefix": "#"}, {"picture_bytes": 10},
        {"waiting": 0}, {"health_s": 0}, {"keepalive_s": 0}, {"retry_s": 0}, {"session_s": -1}, {"ca_file": "ca.pem"},
        {"cert_file": "a", "tls": True}, {"key_file": "a", "tls": True}, {"password_file": "secret"}, {"waiting": "many"},
        {"tls": "perhaps"},
    ],
)  # fmt: skip
def test_what_cannot_be(flags: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        load(**flags)
    assert caught.value.hint
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["mqtt = 3", "[mqtt]\nbrokre = 'a'", "[mqtt]\npassword = 'secret'", "[mqtt]\nwaiting = true"])
def test_a_file_that_means_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(UsageError):
        MqttSettings.load(tmp_path / "settings.toml", {}, {"broker": "localhost"})


class TestPassword:
    def of(self, file: Path) -> str | None:
        return load(user="agent", password_file=str(file)).password()

    def test_its_first_line(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("pässword \nmore\n", "utf-8")
        assert self.of(tmp_path / "secret") == "pässword "
        assert load().password() is None

    @pytest.mark.parametrize("content", [b"", b"\nmore", b"\xff\xfe", b"x" * 70_000])
    def test_a_file_without_one(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "secret").write_bytes(content)
        with pytest.raises(UsageError, match="password file"):
            self.of(tmp_path / "secret")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read: No such file"):
            self.of(tmp_path / "absent")
