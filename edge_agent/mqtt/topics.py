"""The topics of one device, and what is published: one place where both are named."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

COMMANDS = ("predict", "correct", "undo")
AT_LEAST_ONCE = 1
ONLINE, OFFLINE = b"online", b"offline"


@dataclass(frozen=True)
class Publication:
    """Something to publish.

    Attributes:
        topic: in full.
        facts: what is sent, as JSON.
        retain: whether the broker keeps it for those who come later.
    """

    topic: str
    facts: dict[str, object]
    retain: bool = False

    def payload(self) -> bytes:
        """JSON in one line; text that is no Unicode (a file's name need not be any) is sent with question marks."""
        return json.dumps(self.facts, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


@dataclass(frozen=True)
class Message:
    """Something that arrived.

    Attributes:
        command: one of `COMMANDS`.
        name: what stands behind the command in the topic: of the camera, say; "" for nothing.
        payload: as it came.
        number: of MQTT, to acknowledge it; 0 where the sender does not want to know.
        again: whether the broker has sent it before.
        retained: whether it was kept by the broker, and is sent to everyone who connects.
    """

    command: str
    name: str
    payload: bytes = field(repr=False)
    number: int = 0
    again: bool = False
    retained: bool = False


@dataclass(frozen=True)
class Topics:
    """Every topic of one device, below its prefix."""

    prefix: str

    @property
    def availability(self) -> str:
        """Retained "online" or "offline", the last as will."""
        return f"{self.prefix}/availability"

    @property
    def prediction(self) -> str:
        """Retained: the last prediction."""
        return f"{self.prefix}/prediction"

    @property
    def verdict(self) -> str:
        """What became of a `correct`."""
        return f"{self.prefix}/verdict"

    @property
    def undone(self) -> str:
        """What became of an `undo`."""
        return f"{self.prefix}/undone"

    @property
    def queue(self) -> str:
        """Retained: how many pictures wait for a person, and the one most worth asking about."""
        return f"{self.prefix}/queue"

    @property
    def health(self) -> str:
        """Retained: the last health report."""
        return f"{self.prefix}/health"

    @property
    def error(self) -> str:
        """What could not be done: one error for one message."""
        return f"{self.prefix}/error"

    def command(self, name: str) -> str:
        """Where a command is sent."""
        return f"{self.prefix}/{name}"

    @property
    def subscriptions(self) -> dict[str, int]:
        """What is listened to, each with its quality of service: a picture may be lost, a command must not be."""
        wanted = {self.command("predict"): 0, f"{self.command('predict')}/+": 0}
        return wanted | {self.command(name): AT_LEAST_ONCE for name in ("correct", "undo")}

    def read(self, topic: str) -> tuple[str, str] | None:
        """Command and name of a topic; None for one that is not ours."""
        command, _, name = topic.removeprefix(f"{self.prefix}/").partition("/")
        return (command, name) if topic.startswith(f"{self.prefix}/") and command in COMMANDS else None
