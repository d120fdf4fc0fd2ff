"""kill -9 at random moments: what was acknowledged is there, the journal is sound, and the head is the one that its corrections give."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from on_device import ARTIFACT, PHOTOS, ROOT

from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.engines import open_engine
from edge_agent.head import Evidence
from edge_agent.learner import Learner

ROUNDS = 30
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.usefixtures("shared_backbone"),
]


@pytest.fixture
def corrector(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The program that corrects and is killed; see `corrector.py`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("corrector.py")), str(tmp_path / "state")]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def killed(corrector: subprocess.Popen[str], seed: int, milliseconds: int, wait: bool) -> list[tuple[str, int]]:
    """One round: what the worker said before it was killed."""
    assert corrector.stdin is not None
    assert corrector.stdout is not None
    corrector.stdin.write(f"{seed} {milliseconds} {wait:d}\n")
    corrector.stdin.flush()
    line = corrector.stdout.readline()
    assert line, "the corrector ended"
    return [(verb, number) for verb, number in json.loads(line)]


def test_no_acknowledged_correction_is_lost(corrector: subprocess.Popen[str], tmp_path: Path, default_artifact: Artifact) -> None:
    state, rng = tmp_path / "state", random.Random(0)
    corrected, undone, halves, rounds_that_taught = set[int](), set[int](), 0, 0
    learner: Learner | None = None
    for number in range(ROUNDS):
        said = killed(corrector, number, rng.randint(1, 90), wait=number % 5 > 0)
        rounds_that_taught += bool(said)
        corrected |= {identity for verb, identity in said if verb == "correct"}
        undone |= {identity for verb, identity in said if verb == "undo"}
        if not (state / "journal.sqlite3").exists():
            assert not corrected
            continue
        agent = EdgeAgent.open(ARTIFACT, state)
        learner = learner or Learner(default_artifact, agent.settings, open_engine(default_artifact, "auto")[0])
        entries = {entry.id: entry for entry in agent.history()}
        assert corrected <= set(entries), f"round {number}: an acknowledged correction is lost"
        assert {identity for identity in undone if entries[identity].active} == set(), f"round {number}: an undo is lost"
        taken_back = {identity for identity, entry in entries.items() if entry.undone_at is not None}
        strangers = len(set(entries) - corrected) + len(taken_back - undone)
        assert strangers <= halves + 1, "at most the one act in which the worker was killed is there without having been said"
        halves = strangers
        assert sorted(entries) == list(range(1, len(entries) + 1)), "no number was skipped"
        records = agent._journal.records()
        fold = learner.solve([Evidence(r.id, default_artifact.labels.index(r.label), r.seen) for r in records], 0)
        assert agent.head.digest() == fold.head.digest(), f"round {number}: the head is not what its corrections give"
        stored = agent._journal.generation()
        assert stored.number == 0 or stored.head is not None, "the newest snapshot is sound"
        assert agent.predict(PHOTOS[0]).generation == stored.number
        agent.close()
        connection = sqlite3.connect(state / "journal.sqlite3")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
    assert rounds_that_taught >= ROUNDS / 6, "the kills come too early to say anything"
    assert len(corrected) > ROUNDS / 3
