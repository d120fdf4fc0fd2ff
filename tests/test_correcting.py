"""From the evidence to a verdict, and from the verdict to the journal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from on_device import PHOTOS, TRUTHS, open_journal

from edge_agent.artifact import Artifact
from edge_agent.correcting import acknowledged, consider, only_answer, rank, record
from edge_agent.head import AddedClasses, Head
from edge_agent.journal import Journal
from edge_agent.keeper import HeadKeeper
from edge_agent.results import Prediction
from edge_agent.runtime import Seen
from edge_agent.settings import Settings


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return open_journal(tmp_path / "state")


@pytest.fixture
def keeper(default_artifact: Artifact, journal: Journal) -> HeadKeeper:
    return HeadKeeper(default_artifact, Settings(), journal)


class TestRank:
    head = Head.factory(4, 2.0, AddedClasses.unlearned(0, 5, 4))

    def ranked(self, *logits: float, top: int = 4) -> list[tuple[str, float]]:
        seen = Seen(np.array([logits], np.float32), np.zeros((1, 5), np.float32), np.zeros((1, 4), np.float32))
        return [(found.label, found.probability) for found in rank(self.head, ("a", "b", "c", "d"), seen, top)]

    def test_most_probable_first(self) -> None:
        assert [label for label, _ in self.ranked(1, 3, 2, 0)] == ["b", "c", "a", "d"]
        assert sum(p for _, p in self.ranked(1, 3, 2, 0)) == pytest.approx(1, abs=1e-6)

    def test_equal_ones_in_the_order_of_the_labels(self) -> None:
        assert self.ranked(1, 1, 1, 1) == [(label, 0.25) for label in "abcd"]

    @pytest.mark.parametrize("top, count", [(1, 1), (3, 3), (4, 4), (9, 4)])
    def test_as_many_as_asked_for(self, top: int, count: int) -> None:
        assert len(self.ranked(1, 3, 2, 0, top=top)) == count

    def test_numbers_are_plain(self) -> None:
        assert type(self.ranked(1, 3, 2, 0)[0][1]) is float


class TestConsider:
    def test_accepted(self, keeper: HeadKeeper, seen: tuple[Prediction, ...]) -> None:
        found = consider(keeper, keeper.current(), seen[0], TRUTHS[0], 1, False)
        assert (found.verdict, found.now.label, found.was) == ("accepted", TRUTHS[0], seen[0].top[0])
        assert found.reason.startswith("0 of 200 sentinel pictures broken")
        assert found.labels == keeper.current().labels
        assert [e.id for e in found.evidence] == [1]

    def test_right_already(self, keeper: HeadKeeper, seen: tuple[Prediction, ...]) -> None:
        found = consider(keeper, keeper.current(), seen[0], seen[0].label, 1, False)
        assert found.verdict == "already_correct"
        assert found.now.probability >= 0.9

    def test_new_label_gets_the_next_column(self, keeper: HeadKeeper, seen: tuple[Prediction, ...]) -> None:
        found = consider(keeper, keeper.current(), seen[0], "newt", 1, False)
        assert (found.labels[-1], found.evidence[0].label, found.now.label) == ("newt", 10, "newt")
        assert found.solution.head.coefficients.shape == (1, 11)

    def test_what_cannot_be_learned_is_refused(self, default_artifact: Artifact, journal: Journal, seen: tuple[Prediction, ...]) -> None:
        lazy = HeadKeeper(default_artifact, Settings(rounds=1), journal)
        stubborn = replace(seen[0], seen=replace(seen[0].seen, logits=seen[0].seen.logits * 20))
        found = consider(lazy, lazy.current(), stubborn, TRUTHS[0], 1, False)
        assert found.verdict == "refused"
        assert found.reason.startswith("it could not be learned beside the 0 corrections before it: still ")
        forced = consider(lazy, lazy.current(), stubborn, TRUTHS[0], 1, True)
        assert forced.verdict == "accepted"
        assert forced.reason.startswith("forced: it could not be learned")

    def test_nothing_is_written(self, keeper: HeadKeeper, journal: Journal, seen: tuple[Prediction, ...]) -> None:
        before = keeper.current()
        consider(keeper, before, seen[0], "newt", 1, True)
        assert keeper.current() is before
        assert not journal.folder.exists()


class TestRecord:
    def test_accepted(self, keeper: HeadKeeper, journal: Journal, seen: tuple[Prediction, ...]) -> None:
        found = consider(keeper, keeper.current(), seen[0], "newt", 1, False)
        with journal.writing() as writer:
            after, entry = record(keeper, writer, keeper.current(), found, seen[0])
        keeper.adopt(after)
        assert journal.history() == [entry]
        assert journal.added_labels() == ("newt",)
        assert (after.generation, entry.generation, entry.active) == (1, 1, True)
        assert keeper.current().head.digest() == found.solution.head.digest()
        assert (entry.image, entry.sample_id) == (str(PHOTOS[0]), seen[0].sample_id)

    def test_refused(self, keeper: HeadKeeper, journal: Journal, seen: tuple[Prediction, ...]) -> None:
        before = keeper.current()
        found = replace(consider(keeper, before, seen[0], "newt", 1, False), verdict="refused", reason="no")
        with journal.writing() as writer:
            after, entry = record(keeper, writer, before, found, seen[0])
        assert after is before
        assert (entry.verdict, entry.active, entry.generation) == ("refused", False, 0)
        assert (entry.now_label, entry.now_probability) == (entry.was_label, entry.was_probability)
        assert journal.added_labels() == ()
        assert journal.generation().number == 0
        assert journal.records() == []


class TestAnswers:
    def test_dry_run(self, keeper: HeadKeeper, journal: Journal, seen: tuple[Prediction, ...]) -> None:
        found = only_answer(keeper, keeper.current(), seen[0], TRUTHS[0], False)
        assert (found.id, found.verdict, found.now.label, found.generation) == (None, "accepted", TRUTHS[0], 0)
        assert found.reason.startswith("dry run, nothing was changed: ")
        assert not journal.folder.exists()

    def test_right_already_costs_nothing(self, default_artifact: Artifact, journal: Journal, seen: tuple[Prediction, ...]) -> None:
        keeper = HeadKeeper(default_artifact, Settings(engine="nonsense"), journal)
        found = only_answer(keeper, keeper.current(), seen[0], seen[0].label, False)
        assert (found.id, found.verdict, found.steps, found.now) == (None, "already_correct", 0, found.was)
        assert found.sentinel.before == found.sentinel.after

    def test_acknowledgement_is_the_entry(self, keeper: HeadKeeper, journal: Journal, seen: tuple[Prediction, ...]) -> None:
        found = consider(keeper, keeper.current(), seen[0], TRUTHS[0], 1, False)
        with journal.writing() as writer:
            _, entry = record(keeper, writer, keeper.current(), found, seen[0])
        answer = acknowledged(entry, found.findings, 12.5)
        for name in ("id", "image", "label", "verdict", "reason", "steps", "sentinel", "generation"):
            assert getattr(answer, name) == getattr(entry, name)
        assert (answer.was, answer.now, answer.elapsed_ms) == (found.was, found.now, 12.5)
