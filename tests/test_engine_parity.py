"""Both engines make the same head of the same journal: the numbers to 1e-5, and every label of every picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from on_device import ARTIFACT, PHOTOS, Photo, sentinel_evidence
from PIL import Image

from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.engines import onnxruntime_training, open_engine
from edge_agent.head import Evidence, Head
from edge_agent.learner import Learner
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

pytestmark = pytest.mark.skipif(not onnxruntime_training.available(), reason="this ONNX Runtime was built without training")
ENGINES = ("onnxruntime-training", "portable")
RELATIVE = 1e-5


def difference(left: Head, right: Head) -> float:
    """Greatest difference of a coefficient, relative to the greatest coefficient."""
    assert np.array_equal(left.contexts, right.contexts) and left.exponent == right.exponent
    return float(np.abs(left.coefficients - right.coefficients).max() / np.abs(left.coefficients).max())


@pytest.fixture(scope="module")
def pictures(photo: Photo) -> list[Path | Image.Image]:
    """The field photos and synthetic pictures: 112 in all."""
    return [*PHOTOS, *(photo(seed) for seed in range(100))]


@pytest.fixture(scope="module")
def written(pictures: list[Path | Image.Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with 100 corrections, made with the training engine."""
    state, rng = tmp_path_factory.mktemp("parity") / "state", np.random.default_rng(0)
    agent = EdgeAgent.open(ARTIFACT, state, engine=ENGINES[0])
    for picture in pictures[:100]:
        label = picture.parent.name if isinstance(picture, Path) else str(rng.choice(agent.labels))
        agent.correct(picture, label, force=True)
    agent.close()
    return state


def test_a_journal_written_with_one_opens_with_the_other(pictures: list[Path | Image.Image], written: Path, tmp_path: Path) -> None:
    agents = []
    for engine in ENGINES:
        state = tmp_path / engine
        shutil.copytree(written, state)
        agents.append(EdgeAgent.open(ARTIFACT, state, engine=engine))
    assert [agent.info().engine for agent in agents] == list(ENGINES)
    assert agents[0].info().corrections == 100
    assert agents[0].head.digest() == agents[1].head.digest(), "the snapshot is read, not solved again"
    for agent in agents:
        agent.undo()  # solves the other 99 anew
        agent.correct(pictures[-1], "frog", force=True)
    assert difference(agents[0].head, agents[1].head) <= RELATIVE
    answers = [[agent.predict(picture) for picture in pictures] for agent in agents]
    assert [seen.label for seen in answers[0]] == [seen.label for seen in answers[1]]
    assert np.allclose([seen.probability for seen in answers[0]], [seen.probability for seen in answers[1]], rtol=0, atol=1e-5)
    for agent in agents:
        agent.close()


def solved(artifact: Artifact, evidence: list[Evidence], added: int = 0, capacity: int = 0) -> list[Head]:
    """The head of each engine."""
    return [Learner(artifact, Settings(capacity=capacity), open_engine(artifact, name)[0]).solve(evidence, added).head for name in ENGINES]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_sets_of_every_size(default_artifact: Artifact, count: int) -> None:
    heads = solved(default_artifact, sentinel_evidence(default_artifact, count))
    assert difference(*heads) <= RELATIVE


def test_near_duplicates_with_contradictory_labels(default_artifact: Artifact) -> None:
    """They make the Cholesky factor nearly singular, and all hundred rounds are taken."""
    rng, evidence = np.random.default_rng(3), sentinel_evidence(default_artifact, 50)
    for original in list(evidence):
        context = original.seen.context + rng.normal(0, 0.23 / np.sqrt(96), original.seen.context.shape).astype(np.float32)
        seen = Seen(original.seen.logits, original.seen.features, (context / np.linalg.norm(context)).astype(np.float32))
        evidence.append(Evidence(original.id + 50, (original.label + 1) % 10, seen))
    heads = solved(default_artifact, evidence)
    assert len(heads[0].contexts) > 90
    assert difference(*heads) <= RELATIVE


def test_added_classes(default_artifact: Artifact) -> None:
    evidence = [Evidence(e.id, e.label if e.id % 3 else 10, e.seen) for e in sentinel_evidence(default_artifact, 40)]
    assert difference(*solved(default_artifact, evidence, added=1)) <= RELATIVE


def test_past_the_capacity(default_artifact: Artifact) -> None:
    heads = solved(default_artifact, sentinel_evidence(default_artifact, 150), capacity=40)
    assert len(heads[0].contexts) <= 40
    assert difference(*heads) <= RELATIVE
