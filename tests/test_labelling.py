"""Classes added and removed on the device."""

from __future__ import annotations

import pytest
from on_device import PHOTOS, TRUTHS

from edge_agent import EdgeAgent, LabelError


def test_a_class_is_listed_taught_and_taken_back(agent: EdgeAgent) -> None:
    spare = agent.spare_classes
    assert agent.add_label("newt") == spare - 1
    assert agent.predict(PHOTOS[0], top=11).top[-1].label == "newt", "it wins nothing before its first shot"
    done = agent.correct(PHOTOS[0], "newt")
    assert done.now.label == "newt"
    assert done.sentinel.tolerance == pytest.approx(0.07), "a new class may win some of what the others had"
    agent.undo()
    assert "newt" in agent.labels
    assert agent.predict(PHOTOS[0]).label != "newt"


def test_removing_moves_the_columns_behind_it(agent: EdgeAgent) -> None:
    for name in ("newt", "toad"):
        agent.add_label(name)
    agent.correct(PHOTOS[0], "toad")
    agent.correct(PHOTOS[1], TRUTHS[1])
    with pytest.raises(LabelError, match="has 1 active corrections: 1"):
        agent.remove_label("toad")
    agent.remove_label("newt")
    assert agent.labels[-1] == "toad"
    assert [agent.predict(PHOTOS[place]).label for place in (0, 1)] == ["toad", TRUTHS[1]]


@pytest.mark.parametrize(("name", "fault"), [("frog", "one of the network's own"), ("nothing", "does not exist")])
def test_what_cannot_be_removed(name: str, fault: str, agent: EdgeAgent) -> None:
    with pytest.raises(LabelError, match=fault):
        agent.remove_label(name)
    assert not agent.state.exists()


def test_spare_classes_are_used_up(agent: EdgeAgent) -> None:
    for number in range(agent.spare_classes):
        agent.add_label(f"class {number}")
    with pytest.raises(LabelError, match="all spare classes"):
        agent.add_label("one more")
    with pytest.raises(LabelError, match="all spare classes"):
        agent.correct(PHOTOS[0], "one more", new_label=True)
    assert not agent.history()
