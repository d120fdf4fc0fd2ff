"""The queue: what waits, in which order, and what becomes of an answer; nothing acknowledged is lost, nothing is asked twice."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS, files_below
from PIL import Image

from edge_agent.agent import EdgeAgent
from edge_agent.errors import AnsweredError, EdgeAgentError, InputError, LabelError, NotWaitingError, StateError, UsageError
from edge_agent.journal_file import FILE_NAME
from edge_agent.results import Prediction
from edge_agent.settings import Settings

pytestmark = pytest.mark.usefixtures("shared_backbone")
ALL = {"queue_worth": 0.0}


def opened(state: Path, **settings: Any) -> EdgeAgent:
    return EdgeAgent.open(ARTIFACT, state, settings=Settings(**settings))


def offer_all(agent: EdgeAgent, seen: tuple[Prediction, ...]) -> list[str]:
    """Offer every field photo; the sample ids that were kept."""
    return [seen_one.sample_id for seen_one in seen if agent.queue.offer(seen_one).kept]


@pytest.fixture
def waiting(tmp_path: Path, seen: tuple[Prediction, ...]) -> EdgeAgent:
    """An agent with every field photo in the queue."""
    agent = opened(tmp_path / "state", **ALL)
    assert len(offer_all(agent, seen)) == len(PHOTOS)
    return agent


class TestOffer:
    def test_a_doubtful_picture_waits_and_a_sure_one_does_not(self, agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        doubtful = min(seen, key=lambda one: one.probability)
        sure = replace(doubtful, seen=replace(doubtful.seen, logits=doubtful.seen.logits * 50))
        assert not agent.queue.offer(sure).kept
        assert not agent.state.exists(), "what is not kept is not written"
        offer = agent.queue.offer(doubtful)
        assert offer.kept
        assert offer.score == pytest.approx(1 - doubtful.probability, abs=0.16)
        assert len(agent.queue) == 1

    def test_what_waits_says_what_the_model_thinks(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        by_id = {one.sample_id: one for one in seen}
        listed = waiting.queue.waiting()
        assert len(listed) == len(waiting.queue) == len(PHOTOS)
        assert [one.score for one in listed] == sorted((one.score for one in listed), reverse=True)
        for one in listed:
            said = by_id[one.sample_id]
            assert (one.label, one.runner_up) == (said.top[0].label, said.top[1].label)
            assert one.probability == pytest.approx(said.top[0].probability, abs=1e-6)
            assert one.runner_up_probability == pytest.approx(said.top[1].probability, abs=1e-6)
            assert [ranked.label for ranked in one.top] == [ranked.label for ranked in said.top[:5]]
            assert one.top[0].probability == one.probability
            assert one.reason
            assert one.image == said.image
            assert waiting.queue.picture(one.sample_id) == Path(str(said.image)).read_bytes()
            assert one.picture_bytes == Path(str(said.image)).stat().st_size
            assert waiting.queue.get(one.sample_id) == one
        assert waiting.queue.waiting(3) == listed[:3]

    def test_the_same_picture_waits_once(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        again = waiting.queue.offer(seen[0])
        assert not again.kept
        assert again.reason == "it waits already, or was answered"
        assert len(waiting.queue) == len(PHOTOS)

    def test_near_duplicates_count_once(self, agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        first = min(seen, key=lambda one: one.probability)
        assert agent.queue.offer(first).kept
        with Image.open(str(first.image)) as picture:
            pixels = np.asarray(picture.convert("RGB"), np.int16)
        near = agent.predict(Image.fromarray(np.clip(pixels + 1, 0, 255).astype(np.uint8)))
        assert near.sample_id != first.sample_id
        offer = agent.queue.offer(near, first.picture)
        assert (offer.kept, offer.reason) == (False, "one like it waits already")

    def test_a_picture_like_one_that_was_taught_is_no_question(self, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
        agent = opened(tmp_path / "state", **ALL)
        agent.correct(seen[0], TRUTHS[0])
        assert agent.queue.offer(seen[0]).reason == "it waits already, or was answered"
        shifted = replace(seen[0], sample_id="f" * 16)
        assert agent.queue.offer(shifted).reason == "one like it was taught"

    def test_without_a_file_there_is_nothing_to_show(self, agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        with pytest.raises(InputError, match="was never a file"):
            agent.queue.offer(replace(seen[0], picture=None))
        assert agent.queue.offer(replace(seen[2], picture=None), b"its bytes").kept
        assert agent.queue.picture(seen[2].sample_id) == b"its bytes"

    def test_of_another_artifact(self, agent: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        with pytest.raises(InputError, match="another artifact"):
            agent.queue.offer(replace(seen[0], artifact="f" * 64))

    @pytest.mark.parametrize("setting", ["queue_pictures", "queue_bytes"])
    def test_nothing_may_wait(self, setting: str, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
        agent = opened(tmp_path / "state", **ALL, **{setting: 0})
        assert {agent.queue.offer(one).reason for one in seen} == {"the queue is switched off"}


class TestBudget:
    def test_the_least_informative_leave_first(self, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
        agent = opened(tmp_path / "state", **ALL, queue_pictures=4)
        for one in seen:
            offer = agent.queue.offer(one)
            assert len(agent.queue) <= 4
            assert offer.kept or "worth more" in offer.reason
        scores = sorted((agent.queue.offer(replace(one, sample_id="0" * 16)).score for one in seen), reverse=True)
        assert [one.score for one in agent.queue.waiting()] == pytest.approx(scores[:4])

    def test_bytes_count_too(self, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
        agent = opened(tmp_path / "state", **ALL, queue_bytes=3000)
        for one in seen:
            agent.queue.offer(one)
            assert sum(waits.picture_bytes for waits in agent.queue.waiting()) <= 3000
        assert len(agent.queue) >= 2

    def test_a_picture_larger_than_the_budget_drives_nobody_out(self, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
        agent = opened(tmp_path / "state", **ALL, queue_bytes=3000)
        agent.queue.offer(seen[0])
        offer = agent.queue.offer(seen[1], bytes(3001))
        assert (offer.kept, offer.dropped) == (False, ())
        assert "larger than the whole queue" in offer.reason
        assert len(agent.queue) == 1

    def test_what_left_is_named(self, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
        agent = opened(tmp_path / "state", **ALL, queue_pictures=1)
        weak, strong = sorted(seen, key=lambda one: -one.probability)[:: len(seen) - 1]
        agent.queue.offer(weak)
        assert agent.queue.offer(strong).dropped == (weak.sample_id,)
        with pytest.raises(NotWaitingError):
            agent.queue.get(weak.sample_id)


class TestAnswer:
    def test_labelled_equals_corrected(self, waiting: EdgeAgent, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
        other = opened(tmp_path / "other")
        for one, truth in list(zip(seen, TRUTHS, strict=True))[:4]:
            mine = waiting.queue.label(one.sample_id, truth)
            theirs = other.correct(str(one.image), truth)
            assert replace(mine, elapsed_ms=0) == replace(theirs, elapsed_ms=0)
            assert waiting.head.digest() == other.head.digest()
        assert [entry.label for entry in waiting.history()] == list(TRUTHS[:4])
        assert len(waiting.queue) == len(PHOTOS) - 4

    def test_a_confirmed_guess_teaches_nothing_and_leaves(self, waiting: EdgeAgent) -> None:
        first = waiting.queue.waiting(1)[0]
        done = waiting.queue.label(first.sample_id, first.label)
        assert (done.verdict, done.id) == ("already_correct", None)
        assert waiting.history() == ()
        with pytest.raises(AnsweredError):
            waiting.queue.label(first.sample_id, first.label)
        assert len(waiting.queue) == len(PHOTOS) - 1

    def test_a_second_label_is_refused_and_changes_nothing(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        waiting.queue.label(seen[0].sample_id, TRUTHS[0])
        before = waiting.head.digest(), waiting.history()
        with pytest.raises(AnsweredError, match="answered before: airplane") as caught:
            waiting.queue.label(seen[0].sample_id, "frog")
        assert caught.value.exit_code == 65
        assert (waiting.head.digest(), waiting.history()) == before

    @pytest.mark.parametrize("sample_id", ["", "nonsense", "0" * 16, "x" * 100_000, "'; DROP TABLE waiting; --"])
    def test_an_unknown_sample(self, waiting: EdgeAgent, sample_id: str) -> None:
        acts: list[Callable[[], object]] = [
            lambda: waiting.queue.label(sample_id, "frog"), lambda: waiting.queue.skip(sample_id), lambda: waiting.queue.unsure(sample_id),
            lambda: waiting.queue.picture(sample_id), lambda: waiting.queue.get(sample_id),
        ]  # fmt: skip
        for act in acts:
            with pytest.raises(NotWaitingError, match="is not in the queue") as caught:
                act()
            assert len(str(caught.value)) < 200
        assert len(waiting.queue) == len(PHOTOS)

    @pytest.mark.parametrize("label", ["no such label", "", "a\x00b", "x" * 10_000])
    def test_a_label_that_cannot_be_leaves_it_waiting(self, waiting: EdgeAgent, seen: tuple[Prediction, ...], label: str) -> None:
        before = files_below(waiting.state)
        for new in (False, True) if label != "no such label" else (False,):
            with pytest.raises(LabelError):
                waiting.queue.label(seen[0].sample_id, label, new_label=new)
        assert len(waiting.queue) == len(PHOTOS)
        assert files_below(waiting.state) == before

    def test_a_new_label(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        assert waiting.queue.label(seen[0].sample_id, "newt", new_label=True).verdict == "accepted"
        assert waiting.labels[-1] == "newt"
        assert all(one.label for one in waiting.queue.waiting())

    def test_a_refused_label_leaves_the_queue_and_stands_in_the_history(
        self, waiting: EdgeAgent, seen: tuple[Prediction, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        judge = waiting._keeper.guard.judge
        refusing = {"accepted": False, "reason": "it would break"}
        monkeypatch.setattr(waiting._keeper.guard, "judge", lambda *a, **k: replace(judge(*a, **k), **refusing))
        assert waiting.queue.label(seen[0].sample_id, TRUTHS[0]).verdict == "refused"
        assert waiting.history()[0].verdict == "refused"
        with pytest.raises(AnsweredError):
            waiting.queue.label(seen[0].sample_id, TRUTHS[0])

    @pytest.mark.parametrize("answer", ["skip", "unsure"])
    def test_set_aside(self, waiting: EdgeAgent, seen: tuple[Prediction, ...], answer: str) -> None:
        getattr(waiting.queue, answer)(seen[0].sample_id)
        assert seen[0].sample_id not in {one.sample_id for one in waiting.queue.waiting()}
        assert not waiting.queue.offer(seen[0]).kept
        assert waiting.queue.offer(replace(seen[0], sample_id="e" * 16)).reason == "one like it was answered"
        with pytest.raises(AnsweredError):
            getattr(waiting.queue, answer)(seen[0].sample_id)
        assert waiting.history() == ()

    def test_corrected_by_another_way_it_waits_no_longer(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        waiting.correct(seen[0], TRUTHS[0])
        assert len(waiting.queue) == len(PHOTOS) - 1
        with pytest.raises(AnsweredError):
            waiting.queue.label(seen[0].sample_id, TRUTHS[0])

    def test_clear(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        assert waiting.queue.clear() == len(PHOTOS)
        assert (waiting.queue.clear(), len(waiting.queue), waiting.queue.waiting()) == (0, 0, ())
        assert waiting.queue.offer(seen[0]).kept, "what was cleared may come back"

    @pytest.mark.parametrize("limit", [0, -1])
    def test_limits(self, waiting: EdgeAgent, limit: int) -> None:
        with pytest.raises(UsageError):
            waiting.queue.waiting(limit)


class TestState:
    def test_an_empty_state_has_an_empty_queue_and_is_not_made(self, agent: EdgeAgent) -> None:
        assert (len(agent.queue), agent.queue.waiting(), agent.queue.clear()) == (0, (), 0)
        with pytest.raises(NotWaitingError):
            agent.queue.skip("0" * 16)
        assert not agent.state.exists()

    def test_it_survives_a_restart(self, waiting: EdgeAgent) -> None:
        before = waiting.queue.waiting()
        waiting.close()
        assert opened(waiting.state).queue.waiting() == before

    def test_two_processes_share_it(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        other = opened(waiting.state)
        assert other.queue.waiting() == waiting.queue.waiting()
        other.queue.label(seen[0].sample_id, TRUTHS[0])
        waiting.queue.skip(seen[1].sample_id)
        assert waiting.queue.waiting() == other.queue.waiting()
        for agent in (waiting, other):
            for number in (0, 1):
                with pytest.raises(AnsweredError):
                    agent.queue.label(seen[number].sample_id, "frog")

    def test_who_is_second_by_a_moment_is_refused(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        """Both looked while it waited; the transaction decides."""
        other, teach = opened(waiting.state), waiting.queue._teach

        def late(*arguments: Any) -> Any:
            other.queue.label(seen[0].sample_id, TRUTHS[0])
            return teach(*arguments)

        waiting.queue._teach = late
        for label in (TRUTHS[0], "frog"):
            with pytest.raises(AnsweredError):
                waiting.queue.label(seen[0].sample_id, label)
        assert len(waiting.history()) == 1

    def test_a_migrated_state_has_a_queue(self, waiting: EdgeAgent, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
        """What the first version of the journal wrote is brought up to date."""
        from edge_agent.journal_file import APPLICATION_ID
        from edge_agent.journal_migrations import MIGRATIONS

        old = tmp_path / "old"
        old.mkdir()
        connection = sqlite3.connect(old / FILE_NAME)
        MIGRATIONS[0](connection)
        connection.executescript(f"PRAGMA user_version=1; PRAGMA application_id={APPLICATION_ID};")
        connection.close()
        agent = opened(old, **ALL)
        assert agent.queue.offer(seen[0]).kept
        assert len(agent.queue) == 1

    def test_a_damaged_row_is_left_out_and_can_be_cleared(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        waiting.close()
        connection = sqlite3.connect(waiting.state / FILE_NAME)
        with connection:
            connection.execute("UPDATE waiting SET seen=zeroblob(length(seen)) WHERE sample_id=?", (seen[0].sample_id,))
            connection.execute("UPDATE waiting SET picture=zeroblob(3) WHERE sample_id=?", (seen[1].sample_id,))
        connection.close()
        again = opened(waiting.state)
        assert len(again.queue.waiting()) == len(PHOTOS) - 1
        with pytest.raises(StateError, match="damaged"):
            again.queue.label(seen[1].sample_id, TRUTHS[1])
        again.queue.skip(seen[1].sample_id)
        assert again.predict(PHOTOS[0]).label == seen[0].label
        assert again.queue.clear() == len(PHOTOS) - 1

    @pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
    def test_where_nothing_can_be_written(self, waiting: EdgeAgent, seen: tuple[Prediction, ...]) -> None:
        waiting.close()
        waiting.state.chmod(0o500)
        with pytest.raises(StateError):
            waiting.queue.skip(seen[0].sample_id)
        waiting.state.chmod(0o700)
        assert len(waiting.queue) == len(PHOTOS)

    def test_a_failed_commit_leaves_it_waiting(
        self, waiting: EdgeAgent, seen: tuple[Prediction, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = waiting.head.digest()

        def fails(*arguments: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        from edge_agent.journal import Writer

        monkeypatch.setattr(Writer, "add_correction", fails)
        with pytest.raises(EdgeAgentError, match="disk"):
            waiting.queue.label(seen[0].sample_id, TRUTHS[0])
        monkeypatch.undo()
        assert (waiting.head.digest(), len(waiting.queue), waiting.history()) == (before, len(PHOTOS), ())
        assert waiting.queue.label(seen[0].sample_id, TRUTHS[0]).verdict == "accepted"
