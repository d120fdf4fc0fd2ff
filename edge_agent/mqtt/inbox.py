"""What has arrived and is not done: commands before pictures, both bounded; the network puts, the agent's thread takes."""

from __future__ import annotations

import threading
from collections import deque

from edge_agent.mqtt.topics import Message

COMMANDS_WAITING = 64


class Inbox:
    """Two bounded lanes."""

    def __init__(self, pictures: int) -> None:
        """Make it; `pictures` may wait for the backbone."""
        self._changed = threading.Condition()
        self._pictures, self._commands = deque[Message](), deque[Message]()
        self._places = {"predict": pictures}
        self._is_open, self._is_woken = True, False

    def put(self, message: Message) -> bool:
        """Let a message wait; False where its lane is full."""
        lane = self._pictures if message.command == "predict" else self._commands
        with self._changed:
            if len(lane) >= self._places.get(message.command, COMMANDS_WAITING):
                return False
            lane.append(message)
            self._changed.notify()
            return True

    def take(self, timeout_s: float) -> Message | None:
        """The next message, a command first; None where none came in time, or the inbox was closed: what waits then was not begun."""
        with self._changed:
            self._changed.wait_for(lambda: self._commands or self._pictures or self._is_woken or not self._is_open, timeout_s)
            self._is_woken = False
            if not self._is_open or not (self._commands or self._pictures):
                return None
            return (self._commands or self._pictures).popleft()

    def wake(self) -> None:
        """Let who waits look up, with nothing."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def close(self) -> None:
        """Give out nothing more."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    @property
    def is_open(self) -> bool:
        """Whether it still gives out."""
        return self._is_open
