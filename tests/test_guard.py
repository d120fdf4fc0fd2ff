from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from on_device import sentinel_evidence

from edge_agent.artifact import Artifact
from edge_agent.engines import open_engine
from edge_agent.guard import Guard
from edge_agent.head import AddedClasses, Head
from edge_agent.learner import Learner
from edge_agent.new_class import CLAIM
from edge_agent.settings import Settings


def no_head(artifact: Artifact) -> Head:
    manifest = artifact.manifest
    return Head.factory(manifest.classes, 2.0, AddedClasses.unlearned(0, manifest.features, manifest.directions))


def spoiling(artifact: Artifact, wrong: int, mended: int = 0) -> Head:
    """A head that answers wrongly on so many sentinel pictures that were right, and rightly on so many that were wrong."""
    statistics = artifact.statistics
    right = statistics.sentinel_logits.argmax(1) == statistics.sentinel_labels
    chosen = [*np.flatnonzero(right)[:wrong], *np.flatnonzero(~right)[:mended]]
    labels = [(statistics.sentinel_labels[place] + (n < wrong)) % 10 for n, place in enumerate(chosen)]
    coefficients = np.zeros((len(chosen), 10), np.float32)
    coefficients[np.arange(len(chosen)), labels] = 1000
    return Head(statistics.sentinel_context[chosen], coefficients, 400.0, no_head(artifact).added)


@pytest.fixture(scope="module")
def guard(default_artifact: Artifact) -> Guard:
    return Guard(default_artifact, Settings())


def test_factory_accuracy_is_the_manifests(guard: Guard, default_artifact: Artifact) -> None:
    right = guard.right(no_head(default_artifact))
    assert right.shape == (default_artifact.manifest.sentinel.size,)
    assert right.mean() == pytest.approx(default_artifact.manifest.sentinel.accuracy)


@pytest.mark.parametrize("lost, accepted", [(4, True), (5, False)])
@pytest.mark.parametrize("right", [0.835, 0.79, 0.7, 0.615])
def test_a_loss_of_just_what_is_allowed_does_not_hang_on_rounding(
    right: float, lost: int, accepted: bool, default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use = np.arange(200) < round(200 * right)
    judge = Guard(default_artifact, Settings(guard_total=1.0))
    monkeypatch.setattr(judge, "right", lambda head: in_use & (np.arange(200) >= lost))
    assert judge.judge(in_use, no_head(default_artifact)).accepted is accepted


def test_change_of_nothing_is_accepted(guard: Guard, default_artifact: Artifact) -> None:
    head = no_head(default_artifact)
    found = guard.judge(guard.right(head), head)
    assert found.accepted
    assert found.reason == "0 of 200 sentinel pictures broken, 0 mended"
    report = found.sentinel
    assert (report.size, report.broken, report.mended, report.tolerance) == (200, 0, 0, 0.02)
    assert report.before == report.after == report.factory


@pytest.mark.parametrize(
    "wrong, mended, accepted", [(1, 0, True), (4, 0, True), (5, 0, False), (9, 5, True), (10, 5, False), (8, 0, False), (0, 9, True)]
)
def test_loss_by_one_correction(wrong: int, mended: int, accepted: bool, guard: Guard, default_artifact: Artifact) -> None:
    found = guard.judge(guard.right(no_head(default_artifact)), spoiling(default_artifact, wrong, mended))
    assert found.accepted is accepted
    assert (found.sentinel.broken, found.sentinel.mended) == (wrong, mended)
    assert found.sentinel.after == pytest.approx(found.sentinel.before - (wrong - mended) / 200)
    if not accepted:
        assert found.reason.startswith(f"it would break {wrong} of 200 sentinel pictures: accuracy ")
        assert "allowed is a loss of 2.0% by one correction, 5.0% in all" in found.reason


def test_loss_in_all(guard: Guard, default_artifact: Artifact) -> None:
    """Many small losses add up; and who is below the limit may stay there, or rise."""
    steps = {wrong: spoiling(default_artifact, wrong) for wrong in (6, 9, 12, 15)}
    assert guard.judge(guard.right(steps[6]), steps[9]).accepted
    assert not guard.judge(guard.right(steps[9]), steps[12]).accepted
    assert guard.judge(guard.right(steps[15]), steps[15]).accepted
    assert guard.judge(guard.right(steps[15]), steps[12]).accepted


def test_tolerances_are_settings(default_artifact: Artifact) -> None:
    head, worse = no_head(default_artifact), spoiling(default_artifact, 1)
    strict = Guard(default_artifact, Settings(guard_drop=0.0))
    assert not strict.judge(strict.right(head), worse).accepted
    blind = Guard(default_artifact, Settings(guard_drop=1.0, guard_total=1.0))
    assert blind.judge(blind.right(head), spoiling(default_artifact, 100)).accepted
    total = Guard(default_artifact, Settings(guard_drop=1.0, guard_total=0.0))
    assert not total.judge(total.right(head), worse).accepted


def test_new_class_may_win_its_share(guard: Guard, default_artifact: Artifact) -> None:
    head, worse = no_head(default_artifact), spoiling(default_artifact, 10)
    assert not guard.judge(guard.right(head), worse).accepted
    found = guard.judge(guard.right(head), worse, teaches_new=True)
    assert found.sentinel.tolerance == pytest.approx(0.02 + CLAIM)
    assert found.accepted


def test_only_a_learned_class_widens_what_may_be_lost_in_all(default_artifact: Artifact) -> None:
    manifest = default_artifact.manifest
    judge = Guard(default_artifact, Settings(guard_drop=1.0, guard_total=0.0))
    worse, listed = spoiling(default_artifact, 1), AddedClasses.unlearned(1, manifest.features, manifest.directions)
    learned = replace(listed, bias=np.zeros_like(listed.bias) - 1000)
    right = judge.right(no_head(default_artifact))
    assert not judge.judge(right, replace(worse, coefficients=np.pad(worse.coefficients, ((0, 0), (0, 1))), added=listed)).accepted
    assert judge.judge(right, replace(worse, coefficients=np.pad(worse.coefficients, ((0, 0), (0, 1))), added=learned)).accepted


def test_judgements_compare_by_what_they_say(guard: Guard, default_artifact: Artifact) -> None:
    head = no_head(default_artifact)
    found = guard.judge(guard.right(head), head)
    assert found == guard.judge(guard.right(head), head)
    assert "array" not in repr(found)


def test_head_of_nan_is_refused(guard: Guard, default_artifact: Artifact) -> None:
    head = spoiling(default_artifact, 3)
    head = replace(head, coefficients=np.full_like(head.coefficients, np.nan))
    assert not guard.judge(guard.right(no_head(default_artifact)), head).accepted


def test_rule_of_the_learner_does_no_harm(guard: Guard, default_artifact: Artifact) -> None:
    """One correction of any sentinel picture with any label breaks at most what it contradicts."""
    learner = Learner(default_artifact, Settings(), open_engine(default_artifact, "auto")[0])
    before = guard.right(no_head(default_artifact))
    for evidence in sentinel_evidence(default_artifact, 40):
        found = guard.judge(before, learner.solve([evidence], 0).head)
        assert found.accepted
        assert found.sentinel.broken <= 2
