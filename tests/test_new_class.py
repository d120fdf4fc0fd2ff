"""A class added on the device, against the formula written once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from on_device import sentinel_seen

from edge_agent.artifact import Artifact
from edge_agent.engines import open_engine
from edge_agent.head import NOT_IN_USE, AddedClasses, Evidence, Head
from edge_agent.learner import Learner
from edge_agent.new_class import CLAIM, LOCAL, NewClassRule
from edge_agent.remembering import Memory
from edge_agent.runtime import Seen
from edge_agent.settings import Settings


def shots_of(artifact: Artifact, label: int, count: int) -> list[Seen]:
    places = np.flatnonzero(artifact.statistics.sentinel_labels == label)[:count]
    return [sentinel_seen(artifact, int(place)) for place in places]


def as_memories(shots: Sequence[Seen], label: int) -> list[Memory]:
    return [Memory((number,), label, seen) for number, seen in enumerate(shots, 1)]


def expected_row(artifact: Artifact, shots: Sequence[Seen]) -> tuple[np.ndarray, np.ndarray, float]:
    """w = a·h + mean row; b = mean bias + L_own + ¼·L_sd − a·q − a·h·μ; v = 10 · mean context; then the claim cap."""
    s, facts = artifact.statistics, artifact.manifest.new_class
    assert facts is not None
    f = np.mean([shot.features[0] for shot in shots], axis=0, dtype=np.float64)
    v = LOCAL * np.mean([shot.context[0] for shot in shots], axis=0, dtype=np.float64)
    n, mu = len(shots), s.feature_mean.astype(np.float64)
    h, r = f - mu, n / (n + 5)
    q = r * max(h @ h - facts.within / n, facts.spread / 4) + (1 - r) * facts.spread
    w = facts.scale * h + s.mean_row
    b = facts.bias + facts.own_logit + facts.own_deviation / 4 - facts.scale * q - facts.scale * (h @ mu)
    gap = np.sort(s.sentinel_features @ w + s.sentinel_context @ v + b - s.sentinel_logits.max(1))[::-1]
    return w, v, b - max(gap[int(CLAIM * len(gap))], 0)


@pytest.fixture(scope="module")
def rule(default_artifact: Artifact) -> NewClassRule:
    return NewClassRule(default_artifact)


@pytest.mark.parametrize("shots", [1, 2, 5, 15])
def test_row_is_the_formulas(shots: int, rule: NewClassRule, default_artifact: Artifact) -> None:
    seen = shots_of(default_artifact, 3, shots)
    found = rule.rows(as_memories(seen, 10), 1)
    weight, local, bias = expected_row(default_artifact, seen)
    assert np.abs(found.weight[0] - weight).max() <= 1e-4 * np.abs(weight).max()
    assert np.abs(found.local[0] - local).max() <= 1e-4
    assert found.bias[0] == pytest.approx(bias, abs=2e-3)


@pytest.mark.parametrize("label", range(10))
def test_claim_cap(label: int, rule: NewClassRule, default_artifact: Artifact) -> None:
    """Before the learner's steps a new class wins at most its share of the sentinel, whatever it was taught."""
    statistics = default_artifact.statistics
    sentinel = Seen(statistics.sentinel_logits, statistics.sentinel_features, statistics.sentinel_context)
    for shots in (1, 8):
        added = rule.rows(as_memories(shots_of(default_artifact, label, shots), 10), 1)
        head = Head.factory(10, 2.0, added)
        won = (head.logits(sentinel).argmax(1) == 10).mean()
        assert won <= CLAIM + 1 / len(statistics.sentinel_labels), "the one on the line may fall to either side"


def test_class_without_shots_is_not_in_use(rule: NewClassRule, default_artifact: Artifact) -> None:
    found = rule.rows(as_memories(shots_of(default_artifact, 0, 2), 11), 3)
    assert len(found) == 3
    assert found.bias[0] == found.bias[2] == NOT_IN_USE
    assert not found.weight[[0, 2]].any()
    assert found.bias[1] > NOT_IN_USE
    assert len(rule.rows([], 0)) == 0


def test_shots_of_other_labels_do_not_count(rule: NewClassRule, default_artifact: Artifact) -> None:
    own, others = as_memories(shots_of(default_artifact, 2, 3), 10), as_memories(shots_of(default_artifact, 5, 4), 4)
    mixed = rule.rows([others[0], own[0], *others[1:3], own[1], own[2], others[3]], 1)
    alone = rule.rows(own, 1)
    for name in ("weight", "local", "bias"):
        assert np.array_equal(getattr(mixed, name), getattr(alone, name))


def test_later_shots_do_not_move_the_row(rule: NewClassRule, default_artifact: Artifact) -> None:
    shots = [*shots_of(default_artifact, 2, 20), *shots_of(default_artifact, 5, 10)]
    first, more = rule.rows(as_memories(shots[:20], 10), 1), rule.rows(as_memories(shots, 10), 1)
    assert np.array_equal(first.weight, more.weight)
    assert np.array_equal(first.bias, more.bias)


def test_last_layer_that_is_not_linear_uses_the_context_alone(default_artifact: Artifact) -> None:
    artifact = replace(default_artifact, manifest=replace(default_artifact.manifest, new_class=None))
    found = NewClassRule(artifact).rows(as_memories(shots_of(default_artifact, 3, 2), 10), 1)
    assert not found.weight.any()
    assert found.local.any()
    assert np.isfinite(found.bias).all()


@pytest.mark.parametrize("count", [1, 5])
def test_learner_always_learns_the_shot_itself(count: int, default_artifact: Artifact) -> None:
    learner = Learner(default_artifact, Settings(), open_engine(default_artifact, "auto")[0])
    shots = shots_of(default_artifact, 6, count)
    found = learner.solve([Evidence(n, 10, seen) for n, seen in enumerate(shots, 1)], 1)
    assert found.learned
    for seen in shots:
        assert found.head.logits(seen).argmax() == 10
    assert isinstance(found.head.added, AddedClasses)
