"""What a message makes of the agent, and what is said of it; the network is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS

from edge_agent.agent import EdgeAgent
from edge_agent.errors import StateError
from edge_agent.health_settings import HealthSettings
from edge_agent.mqtt.desk import Desk
from edge_agent.mqtt.settings import MqttSettings
from edge_agent.mqtt.topics import Message, Publication
from edge_agent.settings import Settings

pytestmark = pytest.mark.usefixtures("shared_backbone")
PICTURES = [path.read_bytes() for path in PHOTOS]


def settings(**changes: Any) -> MqttSettings:
    return MqttSettings.load(None, {}, {"broker": "localhost", "prefix": "p", **changes})


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[EdgeAgent]:
    opened = EdgeAgent.open(ARTIFACT, tmp_path / "state", settings=Settings(queue_worth=0.0, views=0))
    yield opened
    opened.close()


def desk_of(agent: EdgeAgent, collect: bool = False, **changes: Any) -> Desk:
    return Desk(agent, settings(**changes), HealthSettings(("state",)), collect)


def said(publications: list[Publication], topic: str) -> dict[str, Any]:
    """What was published on one topic, as its reader gets it."""
    (found,) = [publication for publication in publications if publication.topic == f"p/{topic}"]
    return dict(json.loads(found.payload()))


def command(name: str, **facts: Any) -> Message:
    return Message(name, "", json.dumps(facts).encode(), 1)


def predicted(desk: Desk, place: int) -> str:
    return str(said(desk.handle(Message("predict", "cam", PICTURES[place])), "prediction")["sample_id"])


class TestPredict:
    def test_says_what_the_command_line_says(self, agent: EdgeAgent) -> None:
        found = desk_of(agent).handle(Message("predict", "cam-1", PICTURES[0]))
        assert [(p.topic, p.retain) for p in found] == [("p/prediction", True)]
        expected = replace(agent.predict(PICTURES[0], name="cam-1")).as_json()
        assert {**said(found, "prediction"), "elapsed_ms": 0} == {**expected, "elapsed_ms": 0}
        assert not agent.state.exists()

    def test_what_is_worth_it_waits(self, agent: EdgeAgent) -> None:
        desk = desk_of(agent, collect=True)
        found = desk.handle(Message("predict", "cam", PICTURES[0]))
        assert said(found, "prediction")["queue"]["kept"]
        assert said(found, "queue")["waiting"] == 1
        assert said(found, "queue")["next"]["sample_id"] == said(found, "prediction")["sample_id"]
        again = desk.handle(Message("predict", "cam", PICTURES[0]))
        assert [p.topic for p in again] == ["p/prediction"]

    @pytest.mark.parametrize("payload", [b"", b"no picture", b"{}", PICTURES[0][:200]])
    def test_what_is_no_picture(self, agent: EdgeAgent, payload: bytes) -> None:
        (found,) = desk_of(agent).handle(Message("predict", "cam", payload))
        facts = json.loads(found.payload())
        assert (found.topic, found.retain) == ("p/error", False)
        assert (facts["error"]["code"], facts["command"], facts["name"]) == ("input", "predict", "cam")
        assert set(facts["error"]) == {"code", "message", "hint"}

    def test_a_picture_that_is_too_large(self, agent: EdgeAgent) -> None:
        found = desk_of(agent, picture_bytes=1024).handle(Message("predict", "", PICTURES[0] + bytes(1024)))
        assert "expected at most 1024" in said(found, "error")["error"]["message"]

    def test_predictions_go_on_where_nothing_can_be_kept(self, agent: EdgeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*arguments: object) -> None:
            raise StateError("the disk is full")

        monkeypatch.setattr(type(agent.queue), "offer", fails)
        found = desk_of(agent, collect=True).handle(Message("predict", "", PICTURES[0]))
        assert said(found, "prediction")["label"]
        assert said(found, "error")["error"]["code"] == "state"


class TestCorrect:
    def test_a_recent_prediction(self, agent: EdgeAgent) -> None:
        desk = desk_of(agent)
        sample_id = predicted(desk, 0)
        found = desk.handle(command("correct", sample_id=sample_id, label=TRUTHS[0], command_id="1"))
        verdict = said(found, "verdict")
        assert (verdict["command_id"], verdict["sample_id"], verdict["verdict"], verdict["id"]) == ("1", sample_id, "accepted", 1)
        assert verdict["now"]["label"] == TRUTHS[0]
        assert agent.predict(PICTURES[0]).label == TRUTHS[0]
        assert agent.history()[0].image == "cam"

    def test_a_picture_that_waits_also_after_a_restart(self, agent: EdgeAgent) -> None:
        sample_id = predicted(desk_of(agent, collect=True), 0)
        found = desk_of(agent).handle(command("correct", sample_id=sample_id, label=TRUTHS[0]))
        assert said(found, "verdict")["verdict"] == "accepted"
        assert said(found, "queue")["waiting"] == 0

    @pytest.mark.parametrize("collect", [False, True])
    def test_it_is_carried_out_once(self, agent: EdgeAgent, collect: bool) -> None:
        desk = desk_of(agent, collect=collect)
        message = command("correct", sample_id=predicted(desk, 0), label=TRUTHS[0], command_id="once")
        desk.handle(message)
        agent.undo()
        before = agent.head.digest()
        for repeated in (desk, desk_of(agent)):
            verdict = said(repeated.handle(replace(message, again=True)), "verdict")
            assert (verdict["repeated"], verdict["ids"], verdict["verdict"], verdict["label"]) == (True, [1], "accepted", TRUTHS[0])
        assert len(agent.history()) == 1
        assert agent.head.digest() == before

    def test_another_process_was_first_by_a_moment(self, agent: EdgeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        desk = desk_of(agent)
        message = command("correct", sample_id=predicted(desk, 0), label=TRUTHS[0], command_id="race")
        desk.handle(message)
        real, looks = agent.requested, list[str]()
        monkeypatch.setattr(agent, "requested", lambda name: looks.append(name) if not looks else real(name))
        assert said(desk.handle(message), "verdict")["repeated"]
        assert len(agent.history()) == 1

    @pytest.mark.parametrize(
        ("facts", "code"),
        [
            ({"label": "forg"}, "label"), ({"label": "a\x00b", "new_label": True}, "label"), ({"label": ""}, "label"),
            ({"sample_id": "0" * 16}, "not_found"), ({"sample_id": "'; DROP TABLE waiting; --"}, "not_found"), ({"labl": "frog"}, "input"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_done_changes_nothing_and_may_be_sent_again(self, agent: EdgeAgent, facts: dict[str, Any], code: str) -> None:
        desk = desk_of(agent, collect=True)
        good = {"sample_id": predicted(desk, 0), "label": TRUTHS[0], "command_id": "c"}
        found = desk.handle(command("correct", **{**good, **facts}))
        assert [p.topic for p in found] == ["p/error"]
        assert said(found, "error")["error"]["code"] == code
        assert said(found, "error")["command_id"] == "c"
        assert (agent.history(), len(agent.queue)) == ((), 1)
        assert said(desk.handle(command("correct", **good)), "verdict")["verdict"] == "accepted"

    def test_only_so_many_predictions_are_remembered(self, agent: EdgeAgent) -> None:
        desk = desk_of(agent, recent=2)
        ids = [predicted(desk, place) for place in range(3)]
        codes = [next(iter(json.loads(desk.handle(command("correct", sample_id=i, label=t))[0].payload()))) for i, t in
                 zip(ids, TRUTHS, strict=False)]  # fmt: skip
        assert codes[0] == "error"
        assert "error" not in codes[1:]
        tight = desk_of(agent, recent_bytes=len(PICTURES[0]))
        predicted(tight, 4)
        assert said(tight.handle(command("correct", sample_id=predicted(tight, 3), label=TRUTHS[3])), "error" if
                    len(PICTURES[3]) > len(PICTURES[0]) else "verdict")  # fmt: skip


def test_what_is_done_is_said_also_when_the_queue_cannot_be_read(agent: EdgeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise StateError("the disk is gone")

    desk = desk_of(agent)
    sample_id = predicted(desk, 0)
    monkeypatch.setattr(type(agent.queue), "waiting", fails)
    assert said(desk.handle(command("correct", sample_id=sample_id, label=TRUTHS[0])), "verdict")["verdict"] == "accepted"
    assert [publication.topic for publication in desk.state()] == ["p/health"]


class TestUndo:
    def taught(self, desk: Desk) -> None:
        for place in range(2):
            desk.handle(command("correct", sample_id=predicted(desk, place), label=TRUTHS[place]))

    def test_the_last_one_or_the_one_that_is_named(self, agent: EdgeAgent) -> None:
        desk = desk_of(agent)
        self.taught(desk)
        assert said(desk.handle(command("undo", id=1)), "undone")["ids"] == [1]
        found = said(desk.handle(Message("undo", "", b"PRESS", 1)), "undone")
        assert (found["ids"], found["active"], found["head_sha256"]) == ([2], 0, agent.head.digest())
        assert said(desk.handle(Message("undo", "", b"", 1)), "error")["error"]["code"] == "input"

    def test_a_named_one_is_carried_out_once(self, agent: EdgeAgent) -> None:
        desk = desk_of(agent)
        self.taught(desk)
        desk.handle(command("undo", command_id="u"))
        again = said(desk.handle(command("undo", command_id="u")), "undone")
        assert (again["repeated"], again["ids"]) == (True, [2])
        assert [entry.active for entry in agent.history()] == [True, False]

    def test_one_without_a_name_that_comes_again_is_not_risked(self, agent: EdgeAgent) -> None:
        desk = desk_of(agent)
        self.taught(desk)
        found = desk.handle(Message("undo", "", b"PRESS", 1, again=True))
        assert said(found, "error")["error"]["code"] == "repeated"
        assert all(entry.active for entry in agent.history())
        assert said(desk.handle(Message("undo", "", b'{"id": 1}', 1, again=True)), "undone")["ids"] == [1], "a number says enough"


def test_a_retained_command_is_not_carried_out(agent: EdgeAgent) -> None:
    desk = desk_of(agent)
    facts = {"sample_id": predicted(desk, 0), "label": TRUTHS[0]}
    found = desk.handle(replace(command("correct", **facts), retained=True))
    assert "retained correct is not carried out" in said(found, "error")["error"]["message"]
    assert agent.history() == ()


def test_a_fault_of_ours_costs_an_answer_not_the_service(agent: EdgeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **more: object) -> None:
        raise KeyError("a bug")

    desk = desk_of(agent)
    monkeypatch.setattr(agent, "predict", fails)
    error = said(desk.handle(Message("predict", "", PICTURES[0])), "error")["error"]
    assert error["code"] == "unexpected"
    assert "KeyError: 'a bug'" in error["message"]


def test_state_says_health_and_what_waits(agent: EdgeAgent) -> None:
    found = desk_of(agent).state()
    assert all(publication.retain for publication in found)
    assert said(found, "health")["status"] == "OK"
    assert [check["name"] for check in said(found, "health")["checks"]] == ["state"]
    assert said(found, "queue") == {"waiting": 0, "next": None}
