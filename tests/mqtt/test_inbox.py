"""What has arrived waits in bounded lanes, and commands go first."""

from __future__ import annotations

import threading

from edge_agent.mqtt.inbox import COMMANDS_WAITING, Inbox
from edge_agent.mqtt.topics import Message


def test_commands_go_first_each_lane_in_its_order() -> None:
    inbox = Inbox(4)
    for command, name in (("predict", "1"), ("correct", "2"), ("predict", "3"), ("undo", "4")):
        assert inbox.put(Message(command, name, b""))
    taken = [inbox.take(0) for _ in range(4)]
    assert [message.name for message in taken if message] == ["2", "4", "1", "3"]
    assert inbox.take(0) is None


def test_each_lane_is_bounded() -> None:
    inbox = Inbox(2)
    assert [inbox.put(Message("predict", "", b"")) for _ in range(3)] == [True, True, False]
    assert [inbox.put(Message("undo", "", b"")) for _ in range(COMMANDS_WAITING + 1)] == [True] * COMMANDS_WAITING + [False]


def test_who_waits_is_woken_and_a_closed_one_gives_out_nothing() -> None:
    inbox, found = Inbox(2), list[object]()
    thread = threading.Thread(target=lambda: found.append(inbox.take(60)))
    thread.start()
    inbox.wake()
    thread.join(30)
    assert found == [None]
    inbox.put(Message("undo", "", b""))
    inbox.close()
    assert inbox.take(60) is None
    assert not inbox.is_open
