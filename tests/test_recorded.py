"""What has become of each correction: the history says it as the learner decides it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS

from edge_agent.agent import EdgeAgent
from edge_agent.head import Evidence
from edge_agent.recorded import what_acts
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

pytestmark = pytest.mark.usefixtures("shared_backbone")


def some_evidence(number: int, label: int, direction: int, rows: int = 1, spread: float = 0.02) -> Evidence:
    """A picture that lies near the axis `direction`."""
    contexts = np.eye(12)[direction] + spread * np.random.default_rng(number).normal(size=(rows, 12))
    contexts = (contexts / np.linalg.norm(contexts, axis=1, keepdims=True)).astype(np.float32)
    return Evidence(number, label, Seen(np.zeros((rows, 3), np.float32), np.zeros((rows, 2), np.float32), contexts))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[EdgeAgent]:
    """An agent that remembers four rows, one for each picture."""
    opened = EdgeAgent.open(ARTIFACT, tmp_path / "state", settings=Settings(capacity=4, views=0))
    yield opened
    opened.close()


def standings(agent: EdgeAgent) -> list[str]:
    return [entry.standing for entry in agent.history()]


def test_corrections_of_different_pictures_act() -> None:
    found = what_acts([some_evidence(1, 0, 0), some_evidence(2, 1, 1), some_evidence(3, 0, 2)], 8, 0.98)
    assert found == {1: ("acting", ()), 2: ("acting", ()), 3: ("acting", ())}


def test_nothing_is_nothing() -> None:
    assert what_acts([], 8, 0.98) == {}


def test_the_later_word_on_a_picture_supersedes_the_earlier() -> None:
    found = what_acts([some_evidence(1, 0, 5), some_evidence(2, 1, 5)], 8, 0.98)
    assert found == {1: ("superseded", ()), 2: ("acting", ())}


def test_older_ones_of_a_label_share_a_row() -> None:
    evidence = [some_evidence(1, 0, 0, spread=0.2), some_evidence(2, 0, 0, spread=0.2)]
    evidence += [some_evidence(number, 1, number) for number in (3, 4)]
    found = what_acts(evidence, 3, 0.999)
    assert found == {1: ("merged", (2,)), 2: ("merged", (1,)), 3: ("acting", ()), 4: ("acting", ())}


def test_what_cannot_be_merged_is_forgotten_oldest_first() -> None:
    found = what_acts([some_evidence(number, number, number) for number in range(4)], 2, 0.98)
    assert [found[number][0] for number in range(4)] == ["forgotten", "forgotten", "acting", "acting"]


def test_ids_in_rows_are_those_that_act() -> None:
    """The history's answer is the learner's: whatever acts is in the head that was solved, and nothing else."""
    rng = np.random.default_rng(0)
    evidence = [some_evidence(number, int(rng.integers(3)), int(rng.integers(12)), spread=0.3) for number in range(40)]
    found = what_acts(evidence, 10, 0.98)
    assert set(found) == set(range(40))
    merged = {number: others for number, (standing, others) in found.items() if standing == "merged"}
    assert all(number in merged[other] for number, others in merged.items() for other in others)
    rows = sum(standing == "acting" for standing, _ in found.values()) + len({tuple(sorted((n, *o))) for n, o in merged.items()})
    assert rows <= 10


def test_history_of_an_agent(small: EdgeAgent) -> None:
    for photo, truth in zip(PHOTOS[:3], TRUTHS[:3], strict=True):
        small.correct(photo, truth)
    assert standings(small) == ["acting"] * 3
    small.undo(2)
    assert standings(small) == ["acting", "undone", "acting"]
    assert [entry.together_with for entry in small.history()] == [()] * 3


def test_a_superseded_correction_comes_back_on_undo(small: EdgeAgent) -> None:
    small.correct(PHOTOS[0], TRUTHS[0])
    once = small.head.digest()
    other = next(label for label in small.labels if label not in (TRUTHS[0], small.predict(PHOTOS[0]).label))
    small.correct(PHOTOS[0], other, force=True)
    assert standings(small) == ["superseded", "acting"]
    small.undo(2)
    assert standings(small) == ["acting", "undone"]
    assert small.head.digest() == once


def test_past_the_capacity_the_history_names_what_is_merged_or_forgotten(small: EdgeAgent) -> None:
    for photo, truth in zip(PHOTOS[:10], TRUTHS[:10], strict=True):
        small.correct(photo, truth)
    found = [(entry.standing, entry.together_with) for entry in small.history() if entry.active]
    assert len(found) > 4
    assert {standing for standing, _ in found} <= {"acting", "merged", "forgotten"}
    assert {"merged", "forgotten"} & {standing for standing, _ in found}
    assert [standing for standing, _ in found][-1] == "acting"


def test_a_refused_correction_and_a_right_picture(tmp_path: Path) -> None:
    settings = Settings(guard_drop=0.0, guard_total=0.0, exponent_low=1.0, leak_budget=100, views=0)
    with closing(EdgeAgent.open(ARTIFACT, tmp_path / "strict", settings=settings)) as agent:
        seen = agent.predict(PHOTOS[0])
        agent.correct(seen, seen.label)
        for photo in PHOTOS:
            for label in agent.labels:
                if agent.correct(photo, label).verdict == "refused":
                    break
        known = {(entry.verdict, entry.standing) for entry in agent.history() if not entry.active}
        assert ("refused", "refused") in known
        assert {standing for verdict, standing in known if verdict == "already_correct"} <= {"not_needed"}


def test_a_damaged_correction_leaves_the_standings_unknown(small: EdgeAgent, tmp_path: Path) -> None:
    small.correct(PHOTOS[0], TRUTHS[0])
    small.close()
    database = sqlite3.connect(tmp_path / "state" / "journal.sqlite3")
    database.execute("UPDATE corrections SET seen = zeroblob(length(seen))")
    database.execute("UPDATE generations SET sha256 = 'no'")
    database.commit()
    database.close()
    with closing(EdgeAgent.open(ARTIFACT, tmp_path / "state")) as again:
        assert standings(again) == ["unknown"]
