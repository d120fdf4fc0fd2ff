"""The head that serves: loaded, solved, published, and never a stale one."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from on_device import PHOTOS, TRUTHS, an_entry, open_journal, sentinel_evidence

from edge_agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.errors import RuntimeUnavailable, StateError
from edge_agent.head import Evidence
from edge_agent.journal import Journal
from edge_agent.keeper import HeadKeeper, Serving
from edge_agent.settings import Settings


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return open_journal(tmp_path / "state")


@pytest.fixture
def keeper(default_artifact: Artifact, journal: Journal) -> HeadKeeper:
    return HeadKeeper(default_artifact, Settings(), journal)


@pytest.fixture
def evidence(default_artifact: Artifact) -> tuple[Evidence, ...]:
    return tuple(sentinel_evidence(default_artifact, 5))


def commit(keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...], artifact: Artifact) -> Serving:
    """Write the last of the evidence and a generation over all of it."""
    labels = keeper.current().labels
    with journal.writing() as writer:
        assert writer.next_correction() == evidence[-1].id
        writer.add_correction(an_entry(evidence[-1].id, labels[evidence[-1].label]), evidence[-1].seen, None)
        serving = keeper.publish(writer, "correct", evidence, labels, keeper.solve(evidence, labels))
    keeper.adopt(serving)
    return serving


def test_factory_head_where_nothing_is_known(keeper: HeadKeeper, default_artifact: Artifact, journal: Journal) -> None:
    serving = keeper.current()
    assert (serving.generation, serving.labels, serving.stamp) == (0, default_artifact.labels, None)
    assert serving.head.coefficients.shape == (0, 10)
    assert serving.right.mean() == pytest.approx(default_artifact.manifest.sentinel.accuracy)
    assert keeper.evidence(serving) == ()
    assert keeper.current() is serving, "nothing is read twice"
    assert not journal.folder.exists()


def test_published_head_serves_after_adoption(
    keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...], default_artifact: Artifact
) -> None:
    serving = commit(keeper, journal, evidence[:1], default_artifact)
    assert serving.generation == 1
    assert keeper.current() is serving
    assert keeper.evidence(serving) is serving.evidence
    assert np.array_equal(serving.right, keeper.guard.right(serving.head))


def test_transaction_that_failed_changes_nothing(keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...]) -> None:
    before = keeper.current()
    with pytest.raises(ZeroDivisionError), journal.writing() as writer:
        keeper.publish(writer, "correct", evidence, before.labels, keeper.solve(evidence, before.labels))
        raise ZeroDivisionError
    after = keeper.current()
    assert after.generation == 0
    assert after.head.digest() == before.head.digest()


def test_restart_loads_the_snapshot_without_an_engine(
    keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...], default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in range(1, 6):
        commit(keeper, journal, evidence[:count], default_artifact)
    again = HeadKeeper(default_artifact, Settings(engine="nonsense"), open_journal(journal.folder))
    assert again.current().head.digest() == keeper.current().head.digest()
    assert again.current().generation == 5
    assert [e.id for e in again.evidence(again.current())] == [1, 2, 3, 4, 5]
    with pytest.raises(RuntimeUnavailable, match="nonsense"):
        again.solve(evidence, again.current().labels)


def test_other_processes_are_seen(keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...], default_artifact: Artifact) -> None:
    other_journal = open_journal(journal.folder)
    other = HeadKeeper(default_artifact, Settings(), other_journal)
    commit(keeper, journal, evidence[:1], default_artifact)
    assert other.current().generation == 1
    commit(other, other_journal, evidence[:2], default_artifact)
    assert keeper.current().generation == 2
    assert keeper.current().head.digest() == other.current().head.digest()
    with journal.writing() as writer:
        writer.add_label("newt")
    assert other.current().labels[-1] == "newt"
    assert other.current().head.coefficients.shape[1] == 11, "a snapshot with another number of columns is solved anew"


def test_state_that_appears_is_seen(
    keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...], default_artifact: Artifact
) -> None:
    assert keeper.current().generation == 0
    other_journal = open_journal(journal.folder)
    commit(HeadKeeper(default_artifact, Settings(), other_journal), other_journal, evidence[:1], default_artifact)
    assert keeper.current().generation == 1


def test_damaged_snapshot_is_solved_from_the_events(
    keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...], default_artifact: Artifact
) -> None:
    import sqlite3

    for count in range(1, 4):
        commit(keeper, journal, evidence[:count], default_artifact)
    expected = keeper.current().head.digest()
    connection = sqlite3.connect(journal.folder / "journal.sqlite3")
    with connection:
        connection.execute("UPDATE generations SET head=zeroblob(5)")
    connection.close()
    rebuilt = keeper.current()
    assert (rebuilt.generation, rebuilt.head.digest()) == (3, expected)
    assert rebuilt.evidence is not None
    assert [e.id for e in keeper.evidence(rebuilt)] == [1, 2, 3]


def spoil(journal: Journal, *statements: str) -> None:
    """Change the database behind the journal's back."""
    connection = sqlite3.connect(journal.folder / "journal.sqlite3")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_loss_is_served_around_and_cannot_be_taught_over(
    keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...], default_artifact: Artifact
) -> None:
    for count in range(1, 4):
        commit(keeper, journal, evidence[:count], default_artifact)
    spoil(journal, "UPDATE corrections SET seen=zeroblob(length(seen)) WHERE id=2")
    left = (evidence[0], evidence[2])
    rebuilt = keeper.current()
    assert rebuilt.head.digest() == keeper.solve(left, rebuilt.labels).head.digest(), "predictions go on with what is sound"
    with pytest.raises(StateError, match="correction 2 is damaged"):
        keeper.evidence(rebuilt)


def test_without_an_engine_the_last_sound_generation_serves(
    keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...], default_artifact: Artifact
) -> None:
    digests = [commit(keeper, journal, evidence[:count], default_artifact).head.digest() for count in range(1, 4)]
    spoil(journal, "UPDATE generations SET head=zeroblob(5) WHERE number=3")
    again = HeadKeeper(default_artifact, Settings(engine="nonsense"), open_journal(journal.folder))
    assert again.current().head.digest() == digests[1]
    spoil(journal, "UPDATE generations SET head=zeroblob(5)")
    with pytest.raises(RuntimeUnavailable, match="nonsense"):
        HeadKeeper(default_artifact, Settings(engine="nonsense"), open_journal(journal.folder)).current()


def test_labels_that_a_sound_head_does_not_have_are_damage(keeper: HeadKeeper, journal: Journal) -> None:
    labels = (*keeper.current().labels, "newt")
    with journal.writing() as writer:
        writer.add_label("newt")
        keeper.publish(writer, "add label", (), labels, keeper.solve((), labels))
    spoil(journal, "DELETE FROM labels")
    with pytest.raises(StateError, match="labels that were added on the device are damaged"):
        keeper.current()


def test_label_that_is_gone_is_named(keeper: HeadKeeper, journal: Journal, evidence: tuple[Evidence, ...]) -> None:
    with journal.writing() as writer:
        writer.add_correction(an_entry(1, "newt"), evidence[0].seen, None)
    with pytest.raises(StateError, match="correction 1 has the label 'newt', which is not listed"):
        keeper.evidence(keeper.current())


def test_engine_is_started_once(keeper: HeadKeeper, evidence: tuple[Evidence, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_agent import keeper as module

    started: list[str] = []
    real = module.open_engine
    monkeypatch.setattr(module, "open_engine", lambda *arguments: (started.append(arguments[1]), real(*arguments))[1])
    labels = keeper.current().labels
    assert started == []
    first = keeper.solve(evidence, labels)
    assert keeper.solve(evidence, labels).head.digest() == first.head.digest()
    name, reason = keeper.engine()
    assert name in ("onnxruntime-training", "portable")
    assert reason
    assert started == ["auto"]


def test_predictions_go_on_while_a_writer_waits(agent: EdgeAgent) -> None:
    """Another process holds the state, a thread of ours waits for it, and predict answers with the head that served before."""
    agent.correct(PHOTOS[0], TRUTHS[0])
    other = sqlite3.connect(agent.state / "journal.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = threading.Thread(target=lambda: agent.correct(PHOTOS[1], TRUTHS[1]))
    waiting.start()
    try:
        while agent._journal.lock.acquire(blocking=False):  # until the other thread has it
            agent._journal.lock.release()
            time.sleep(0.001)
        assert agent.predict(PHOTOS[0]).label == TRUTHS[0]
        assert waiting.is_alive(), "the answer did not wait for the writer"
    finally:
        other.execute("ROLLBACK")
        other.close()
        waiting.join()
    assert agent.predict(PHOTOS[1]).label == TRUTHS[1]
