"""A named request is carried out once, whatever stops the process and however often it is delivered."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from on_device import ARTIFACT, TRUTHS

from edge_agent.agent import EdgeAgent
from edge_agent.errors import InputError, LabelError, RepeatedError, StateError
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_requests import REQUESTS_KEPT
from edge_agent.results import Prediction
from edge_agent.state_reader import find_damage, open_snapshot

pytestmark = pytest.mark.usefixtures("shared_backbone")


def state_of(agent: EdgeAgent) -> tuple[str, int]:
    return agent.head.digest(), len(agent.history())


def test_a_correction_is_made_once(agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
    assert agent.requested("a") is None
    assert not agent.state.exists()
    with agent.once("a"):
        done = agent.correct(seen[0], TRUTHS[0])
    found = agent.requested("a")
    assert found is not None
    assert (found.name, found.corrections) == ("a", (done.id,))
    agent.undo()
    before = state_of(agent)
    with pytest.raises(RepeatedError, match="was carried out before"), agent.once("a"):
        agent.correct(seen[0], TRUTHS[0])
    assert state_of(agent) == before, "taken back stays taken back, though the message came again"


def test_an_undo_is_made_once(agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
    for one, truth in list(zip(seen, TRUTHS, strict=True))[:2]:
        agent.correct(one, truth)
    with agent.once("u"):
        taken = agent.undo()
    assert agent.requested("u").corrections == taken.ids  # type: ignore[union-attr]
    before = state_of(agent)
    with pytest.raises(RepeatedError), agent.once("u"):
        agent.undo()
    assert state_of(agent) == before, "the first correction is still there"


def test_one_that_changes_nothing_is_known_too(agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
    with agent.once("right"):
        assert agent.correct(seen[0], seen[0].label).verdict == "already_correct"
    assert agent.requested("right").corrections == ()  # type: ignore[union-attr]
    with pytest.raises(RepeatedError), agent.once("right"):
        agent.correct(seen[0], TRUTHS[0])
    assert agent.history() == ()


def test_one_that_failed_may_come_again(agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
    with pytest.raises(LabelError), agent.once("typo"):
        agent.correct(seen[0], "forg")
    with pytest.raises(InputError), agent.once("typo"):
        agent.undo()
    assert agent.requested("typo") is None
    with agent.once("typo"):
        assert agent.correct(seen[0], TRUTHS[0]).verdict == "accepted"
    agent.correct(seen[1], TRUTHS[1])
    assert agent.requested("typo").corrections == (1,)  # type: ignore[union-attr]


def test_another_process_was_first(agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
    other = EdgeAgent.open(ARTIFACT, agent.state)
    with other.once("x"):
        other.correct(seen[0], TRUTHS[0])
    with pytest.raises(RepeatedError), agent.once("x"):
        agent.correct(seen[1], TRUTHS[1])
    assert len(agent.history()) == 1
    assert agent.correct(seen[1], TRUTHS[1]).verdict == "accepted"


def test_a_failed_commit_leaves_no_name(agent: EdgeAgent, seen: tuple[Prediction, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_agent.journal import Writer

    def fails(*arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Writer, "add_generation", fails)
    with pytest.raises(StateError), agent.once("full"):
        agent.correct(seen[0], TRUTHS[0])
    monkeypatch.undo()
    assert (agent.requested("full"), agent.history()) == (None, ())


def test_the_newest_are_kept(agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
    with agent.once("first"):
        agent.correct(seen[0], TRUTHS[0])
    agent.close()
    connection = sqlite3.connect(agent.state / FILE_NAME)
    with connection:
        connection.execute("UPDATE sqlite_sequence SET seq=? WHERE name='requests'", (REQUESTS_KEPT,))
    connection.close()
    with agent.once("next"):
        agent.undo()
    assert agent.requested("first") is None
    assert agent.requested("next") is not None


def test_a_damaged_row_is_named(agent: EdgeAgent, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
    with agent.once("a"):
        agent.correct(seen[0], TRUTHS[0])
    agent.close()
    connection: Any = sqlite3.connect(agent.state / FILE_NAME)
    with connection:
        connection.execute("UPDATE requests SET corrections='[2]'")
    connection.close()
    with pytest.raises(StateError, match="the record of request 'a' is damaged"):
        agent.requested("a")
    snapshot = open_snapshot(agent.state, 1000)
    assert snapshot is not None
    assert list(find_damage(snapshot)) == ["the record of the request in place 1"]
