"""What holds of any sequence of corrections: of field photos, with right and wrong labels, in any order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from on_device import ARTIFACT, Clock, in_fresh_process

from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.engines import open_engine
from edge_agent.head import Evidence
from edge_agent.learner import Learner
from edge_agent.results import Prediction
from edge_agent.settings import Settings


@dataclass(frozen=True)
class Act:
    """A correction of one photo, or the undo of the n-th of those that are active then."""

    photo: int
    label: int
    undo: int | None = None


LABELS = st.integers(0, 9)
CORRECTIONS = st.lists(st.builds(Act, st.integers(0, 11), LABELS), min_size=1, max_size=8)
ACTS = st.lists(st.builds(Act, st.integers(0, 11), LABELS, st.none() | st.none() | st.integers(0, 7)), min_size=1, max_size=10)


@contextmanager
def fresh_agent(artifact: Artifact) -> Iterator[EdgeAgent]:
    """An agent with an empty state; the guard lets everything pass, so that every word counts."""
    with TemporaryDirectory() as folder:
        agent = EdgeAgent(artifact, Path(folder) / "state", Settings(guard_drop=1.0, guard_total=1.0), Clock())
        yield agent
        agent.close()


def teach(agent: EdgeAgent, seen: Sequence[Prediction], acts: Sequence[Act]) -> list[str]:
    """Do it all; the head's digest after each act."""
    digests = []
    for act in acts:
        active = [entry.id for entry in agent.history() if entry.active]
        if act.undo is None:
            agent.correct(seen[act.photo], agent.labels[act.label], force=True)
        elif active:
            agent.undo(active[act.undo % len(active)])
        digests.append(agent.head.digest())
    return digests


def fold(agent: EdgeAgent, seen: Sequence[Prediction]) -> str:
    """The digest of the head that the active corrections give, solved apart from the agent."""
    by_id = {prediction.sample_id: prediction.seen for prediction in seen}
    evidence = [Evidence(e.id, agent.labels.index(e.label), by_id[e.sample_id]) for e in agent.history() if e.active]
    learner = Learner(agent.artifact, agent.settings, open_engine(agent.artifact, "auto")[0])
    return learner.solve(evidence, len(agent.labels) - len(agent.artifact.labels)).head.digest()


laws = settings(max_examples=15)
pytestmark = pytest.mark.usefixtures("shared_backbone")


@laws
@given(acts=ACTS, looks=st.lists(st.integers(0, 11), min_size=1, max_size=3))
def test_predict_never_changes_state(acts: list[Act], looks: list[int], default_artifact: Artifact, seen: tuple[Prediction, ...]) -> None:
    with fresh_agent(default_artifact) as agent:
        teach(agent, seen, acts)
        before = agent.head.digest(), agent.history(), agent.labels
        answers = [[agent.predict(str(seen[n].image)).top for n in looks] for _ in range(2)]
        assert answers[0] == answers[1]
        assert (agent.head.digest(), agent.history(), agent.labels) == before


@laws
@given(acts=ACTS, last=st.builds(Act, st.integers(0, 11), LABELS))
def test_correct_then_undo_is_the_identity(acts: list[Act], last: Act, default_artifact: Artifact, seen: tuple[Prediction, ...]) -> None:
    with fresh_agent(default_artifact) as agent:
        teach(agent, seen, acts)
        before, answers = agent.head.digest(), [agent.predict(str(p.image)).top for p in seen[:2]]
        done = agent.correct(seen[last.photo], agent.labels[last.label], force=True)
        assert agent.undo(done.id).head_sha256 == before == agent.head.digest()
        assert [agent.predict(str(p.image)).top for p in seen[:2]] == answers


@laws
@given(acts=ACTS)
def test_every_way_back_is_the_way_there(acts: list[Act], default_artifact: Artifact, seen: tuple[Prediction, ...]) -> None:
    """Corrections taken back one by one, the last one first, pass the same heads again."""
    with fresh_agent(default_artifact) as agent:
        start = agent.head.digest()
        there = [start, *teach(agent, seen, [act for act in acts if act.undo is None])]
        back = [agent.undo().head_sha256 for _ in range(len(there) - 1)]
        assert back == there[-2::-1]


@laws
@given(acts=CORRECTIONS, data=st.data())
def test_head_is_a_function_of_the_set(
    acts: list[Act], data: st.DataObject, default_artifact: Artifact, seen: tuple[Prediction, ...]
) -> None:
    """Of different photos: where two words on one photo meet, the later one stands."""
    words = list({act.photo: act for act in acts}.values())
    with fresh_agent(default_artifact) as one, fresh_agent(default_artifact) as other:
        teach(one, seen, words)
        teach(other, seen, data.draw(st.permutations(words)))
        assert one.head.digest() == other.head.digest() == fold(one, seen)


@laws
@given(acts=CORRECTIONS, data=st.data())
def test_undo_equals_never_having_made_it(
    acts: list[Act], data: st.DataObject, default_artifact: Artifact, seen: tuple[Prediction, ...]
) -> None:
    taken_back = data.draw(st.sets(st.integers(0, len(acts) - 1)))
    with fresh_agent(default_artifact) as agent, fresh_agent(default_artifact) as innocent:
        teach(agent, seen, acts)
        for place in data.draw(st.permutations(sorted(taken_back))):
            agent.undo(place + 1)
        teach(innocent, seen, [act for place, act in enumerate(acts) if place not in taken_back])
        assert agent.head.digest() == innocent.head.digest()


@laws
@given(acts=ACTS)
def test_head_is_the_fold_after_every_act_and_after_a_restart(
    acts: list[Act], default_artifact: Artifact, seen: tuple[Prediction, ...]
) -> None:
    with fresh_agent(default_artifact) as agent:
        teach(agent, seen, acts)
        again = EdgeAgent(default_artifact, agent.state, agent.settings, Clock())
        assert again.head.digest() == agent.head.digest() == fold(agent, seen)
        assert again.history() == agent.history()
        answers = [one.predict(str(seen[acts[0].photo].image)) for one in (agent, again)]
        assert answers[0].top == answers[1].top
        assert answers[0].generation == answers[1].generation
        again.close()


@laws
@given(photo=st.integers(0, 11), first=LABELS, second=LABELS, others=CORRECTIONS)
def test_two_labels_for_one_picture(
    photo: int, first: int, second: int, others: list[Act], default_artifact: Artifact, seen: tuple[Prediction, ...]
) -> None:
    """The later one stands; the earlier one comes back when it is undone."""
    with fresh_agent(default_artifact) as agent:
        teach(agent, seen, [act for act in others if act.photo != photo])
        agent.correct(seen[photo], agent.labels[first], force=True)
        before, answer = agent.head.digest(), agent.predict(str(seen[photo].image))
        assert answer.label == agent.labels[first]
        later = agent.correct(seen[photo], agent.labels[second], force=True)
        assert agent.predict(str(seen[photo].image)).label == agent.labels[second]
        assert (agent.head.digest() == before) == (first == second)
        agent.undo(later.id)
        assert agent.head.digest() == before
        assert agent.predict(str(seen[photo].image)).top == answer.top


@settings(max_examples=6)
@given(acts=ACTS, names=st.lists(st.sampled_from(["newt", "axolotl"]), unique=True))
def test_added_labels_change_no_law(acts: list[Act], names: list[str], default_artifact: Artifact, seen: tuple[Prediction, ...]) -> None:
    with fresh_agent(default_artifact) as agent:
        for name in names:
            agent.add_label(name)
        for number, name in enumerate(names):
            agent.correct(seen[number], name, force=True)
        before = agent.head.digest()
        count = len(agent.history())
        teach(agent, seen, [act for act in acts if act.undo is None])
        for entry in agent.history()[count:]:
            agent.undo(entry.id)
        assert agent.head.digest() == before == fold(agent, seen)


@pytest.mark.parametrize("engine", ["onnxruntime-training", "portable"])
def test_same_journal_gives_the_same_bytes_in_another_process(engine: str, tmp_path: Path, seen: tuple[Prediction, ...]) -> None:
    agent = EdgeAgent.open(ARTIFACT, tmp_path / "state", engine=engine, settings=Settings(guard_drop=1.0, guard_total=1.0))
    agent.add_label("newt")
    teach(agent, seen, [Act(n % 12, (n * 7) % 11) for n in range(20)])
    agent.undo(4)
    code = """
import json, sys
from pathlib import Path
from edge_agent import EdgeAgent
from edge_agent.journal import Journal
from edge_agent.settings import Settings
artifact, state, engine = sys.argv[1:]
agent = EdgeAgent.open(artifact, state, engine=engine)
records = agent._journal.records()
evidence = agent._keeper.evidence(agent._keeper.current())
solved = agent._keeper.solve(evidence, agent.labels).head
answers = agent.predict(sys.stdin.buffer.read() or Path(artifact, "golden", "00.png"), top=99).top
print(json.dumps([agent.head.digest(), solved.digest(), len(records), [r.probability.hex() for r in answers]]))
"""
    found = [json.loads(in_fresh_process(code, str(ARTIFACT), str(agent.state), engine)) for _ in range(2)]
    assert found[0] == found[1]
    stored, solved, records, probabilities = found[0]
    assert stored == solved == agent.head.digest()
    assert records == 19
    here = agent.predict(ARTIFACT / "golden" / "00.png", top=99)
    assert probabilities == [ranked.probability.hex() for ranked in here.top]
