"""What the agent is told about its broker, and what it may take: defaults < `[mqtt]` of the settings file < environment < flag."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import UsageError
from edge_agent.settings_file import as_type_of, read_settings_file

PREFIX = "EDGE_AGENT_MQTT_"
HINT = "see edge-agent mqtt --help and docs/mqtt.md"
PLAIN_PORT, TLS_PORT = 1883, 8883
PROTOCOLS = ("5", "3.1.1")
_SECRET_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f+#]")


@dataclass(frozen=True)
class MqttSettings:
    """Where the broker is, who we are there, and what one sender may take.

    Attributes:
        broker: `HOST` or `HOST:PORT`; an IPv6 address in brackets.
        user: name at the broker; "" for none.
        password_file: file whose first line is the password; "" for none. There is no setting for the password itself.
        tls: whether the connection is encrypted and the broker's certificate checked.
        ca_file: certificates that may vouch for the broker; "" for the system's.
        cert_file, key_file: this device's own certificate and its key; "" for none.
        prefix: topics begin with it; each device needs its own.
        client_id: names the session at the broker; each device needs its own.
        protocol: "5", or "3.1.1" for a broker that knows no other.
        name: what Home Assistant calls the device.
        discovery: whether Home Assistant is told what there is.
        discovery_prefix: where it listens.
        picture_bytes: greatest picture; a larger message is answered with an error, one of twice the size is not delivered by the broker.
        waiting: pictures that may wait for the backbone; more are answered with an error.
        recent: predictions that can be corrected by their sample id although they are not in the queue.
        recent_bytes: greatest sum of their pictures.
        health_s: time between two health reports.
        keepalive_s: a connection that is silent for one and a half times as long is dead.
        retry_s: greatest pause between two tries to connect; they begin with one second and double.
        session_s: how long the broker keeps commands for a device that is away.
    """

    broker: str = ""
    user: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    prefix: str = ""
    client_id: str = ""
    protocol: str = "5"
    name: str = ""
    discovery: bool = True
    discovery_prefix: str = "homeassistant"
    picture_bytes: int = 8 * 1024**2
    waiting: int = 8
    recent: int = 64
    recent_bytes: int = 32 * 1024**2
    health_s: float = 60.0
    keepalive_s: int = 30
    retry_s: int = 60
    session_s: int = 86_400

    def __post_init__(self) -> None:
        """Refuse what no broker could work with."""
        day = 86_400
        ranges: dict[str, tuple[float, float]] = {
            "picture_bytes": (1024, 120 * 1024**2), "waiting": (1, 10_000), "recent": (0, 100_000), "recent_bytes": (0, 2**40),
            "health_s": (1, day), "keepalive_s": (1, 65_535), "retry_s": (1, day), "session_s": (0, 365 * day),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"MQTT setting {name} is {getattr(self, name)}, expected {low} to {high}", HINT)
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"MQTT protocol is {self.protocol!r}, expected {' or '.join(PROTOCOLS)}", HINT)
        _ = self.address
        _check_topic("prefix", self.prefix)
        _check_topic("discovery_prefix", self.discovery_prefix)
        if not _NAME.fullmatch(self.client_id):
            expected = "1 to 64 letters, digits, _ - . :"
            raise UsageError(f"MQTT client id is {self.client_id[:80]!r}, expected {expected}", "give --client-id NAME")
        if not self.name.isprintable() or not 0 < len(self.name) <= 128:
            raise UsageError(f"device name is {self.name[:80]!r}, expected 1 to 128 printable characters", "give --name NAME")
        if bool(self.cert_file) != bool(self.key_file):
            raise UsageError("a certificate without its key, or the other way round", "give both --cert-file and --key-file")
        if (self.ca_file or self.cert_file) and not self.tls:
            raise UsageError("certificates are for an encrypted connection", "give --tls too")
        if self.password_file and not self.user:
            raise UsageError("a password without a user", "give --user NAME too")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the broker.

        Raises:
            UsageError: the broker is none.
        """
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^\s:/\[\]@]+))(?::(\d{1,5}))?", self.broker)
        port = int(found[3]) if found and found[3] else TLS_PORT if self.tls else PLAIN_PORT
        if not found or not 0 < port < 65_536:
            raise UsageError(f"the broker is {self.broker[:80]!r}, expected HOST or HOST:PORT", "give --broker HOST[:PORT]")
        return found[1] or found[2], port

    @classmethod
    def load(cls, file: str | os.PathLike[str] | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> MqttSettings:
        """Settings from the table `[mqtt]` of a file, from `EDGE_AGENT_MQTT_<NAME>`, and from flags, each over the one before.

        Args:
            file: a TOML file, or None; `EDGE_AGENT_SETTINGS` names one too.
            environment: usually `os.environ`.
            flags: None means not given.

        Returns:
            The settings; prefix, client id and name are the machine's where none were given.

        Raises:
            UsageError: the file cannot be read, a name or value is not one of ours, or there is no broker.
        """
        file = file or environment.get("EDGE_AGENT_SETTINGS")
        table = read_settings_file(file).get("mqtt", {}) if file else {}
        if not isinstance(table, dict):
            raise UsageError(f"mqtt is {table!r} in {file}, expected a table", "write [mqtt] and name = value lines below it")
        machine = socket.gethostname() or "device"
        plain = re.sub(r"[^A-Za-z0-9_.-]", "-", machine)[:40]
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values: dict[str, object] = {"prefix": f"edge-agent/{plain}", "client_id": f"edge-agent-{plain}", "name": machine[:128], **table}
        values |= {name: environment[PREFIX + name.upper()] for name in fields if environment.get(PREFIX + name.upper())}
        values |= {name: value for name, value in flags.items() if value is not None}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise UsageError(f"unknown MQTT setting {unknown[0]!r}", f"the settings are {', '.join(fields)}")
        return cls(**{name: as_type_of(fields[name].default, f"MQTT setting {name}", value, HINT) for name, value in values.items()})

    def password(self) -> str | None:
        """The password, read from its file; None where there is none.

        Raises:
            UsageError: the file cannot be read, is empty, or is none of ours: too long, or not text.
        """
        if not self.password_file:
            return None
        try:
            with Path(self.password_file).open("rb") as file:
                content = file.read(_SECRET_BYTES + 1)
            lines = content.decode("utf-8").splitlines() if len(content) <= _SECRET_BYTES else []
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UsageError(f"the password file {self.password_file} cannot be read: {reason}", "give a file of one line") from None
        if not lines or not lines[0]:
            raise UsageError(f"the password file {self.password_file} holds no password in its first line", "give a file of one line")
        return lines[0]


def _check_topic(name: str, text: str) -> None:
    levels = text.split("/")
    if _FORBIDDEN.search(text) or not all(levels) or text.startswith("$") or len(text.encode("utf-8", "replace")) > 200:
        expected = "1 to 200 bytes, levels between single slashes, without + and #, and not beginning with $"
        raise UsageError(f"MQTT {name} is {text[:80]!r}, expected {expected}", "give another --prefix")
