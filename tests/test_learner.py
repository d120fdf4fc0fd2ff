"""The learner against the rule of its own docstring, written once more in readable numpy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import TRUTHS, sentinel_evidence, some_seen

from edge_agent.artifact import Artifact
from edge_agent.engines import open_engine
from edge_agent.head import NOT_IN_USE, AddedClasses, Evidence, Head, softmax
from edge_agent.learner import Learner, Solution, _unwhitened
from edge_agent.results import Prediction
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

MARGIN = 1e-3  # the learner trains a little past the confidence


def numpy_rule(evidence: Sequence[Evidence], classes: int, exponent: float, confidence: float, rounds: int) -> tuple[Head, int]:
    """From A = 0: while rows are not right with enough probability, A[bad] += (T − P)[bad] / max(1, largest row sum of κ[bad, bad]).

    After the rounds it goes on, three times as long at most, while a row has less than one half.
    """
    rows = sorted(evidence, key=lambda e: (e.seen.context.tobytes(), e.label))
    x = np.concatenate([e.seen.context for e in rows]).astype(np.float64)
    factory = np.concatenate([e.seen.logits for e in rows]).astype(np.float64)
    labels = np.concatenate([np.full(len(e.seen.context), e.label) for e in rows])
    kappa, targets, own = np.maximum(x @ x.T, 0) ** exponent, np.eye(classes)[labels], (np.arange(len(x)), labels)
    a, logits, steps = np.zeros((len(x), classes)), factory, 0
    while steps < 3 * rounds:
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        bad = np.flatnonzero((p[own] < confidence + MARGIN) | (p.argmax(1) != labels))
        if not len(bad) or (steps >= rounds and (p[own] >= 0.5 + MARGIN).all()):
            break
        a[bad] += (targets - p)[bad] / max(1.0, kappa[np.ix_(bad, bad)].sum(1).max())
        logits, steps = factory + kappa @ a, steps + 1
    empty = Head.factory(classes, exponent, no_classes(rows[0].seen)).added
    return Head(x.astype(np.float32), a.astype(np.float32), exponent, empty), steps


def no_classes(seen: Seen) -> AddedClasses:
    return AddedClasses.unlearned(0, seen.features.shape[1], seen.context.shape[1])


def standing(evidence: Sequence[Evidence], capacity: int, same_picture: float) -> set[int]:
    """The newest first; one that is near a later one that stands is superseded; the oldest beyond the capacity are forgotten."""
    kept: list[Evidence] = []
    for candidate in sorted(evidence, key=lambda e: -e.id):
        if all(float(candidate.seen.context[0] @ later.seen.context[0]) <= same_picture for later in kept):
            kept.append(candidate)
    within = np.cumsum([len(e.seen.context) for e in kept]) <= capacity
    return {e.id for e, fits in zip(kept, within, strict=True) if fits}


def field_evidence(seen: Sequence[Prediction], artifact: Artifact) -> list[Evidence]:
    return [Evidence(n + 1, artifact.labels.index(TRUTHS[n]), seen[n].seen) for n in range(len(seen))]


def new_learner(artifact: Artifact, engine: str = "auto", **settings: float) -> Learner:
    chosen = Settings(**settings)  # type: ignore[arg-type]
    return Learner(artifact, chosen, open_engine(artifact, engine)[0])


@pytest.fixture(scope="module")
def learner(default_artifact: Artifact) -> Learner:
    return new_learner(default_artifact)


def answers(head: Head, evidence: Sequence[Evidence]) -> tuple[np.ndarray, np.ndarray]:
    """Label and probability of the right label for each correction."""
    probability = softmax(np.concatenate([head.logits(e.seen) for e in evidence]))
    return probability.argmax(1), probability[np.arange(len(evidence)), [e.label for e in evidence]]


class TestAgainstTheRule:
    def test_field_photos(self, learner: Learner, seen: tuple[Prediction, ...], default_artifact: Artifact) -> None:
        evidence = field_evidence(seen, default_artifact)
        for count in (1, 2, 5, 12):
            self.compare(learner, evidence[:count], 10, evidence)

    @pytest.mark.parametrize("count", [1, 3, 20, 60, 100])
    def test_sentinel_pictures_with_random_labels(self, count: int, learner: Learner, default_artifact: Artifact) -> None:
        evidence = sentinel_evidence(default_artifact, count, seed=count)
        stands = standing(evidence, 256, 0.98)
        others = sentinel_evidence(default_artifact, 200, seed=1)
        self.compare(learner, [e for e in evidence if e.id in stands], 10, others)

    @pytest.mark.parametrize("engine", ["onnxruntime-training", "portable"])
    def test_both_engines(self, engine: str, default_artifact: Artifact) -> None:
        evidence = sentinel_evidence(default_artifact, 30, seed=7)
        stands = standing(evidence, 256, 0.98)
        self.compare(new_learner(default_artifact, engine), [e for e in evidence if e.id in stands], 10, evidence)

    @staticmethod
    def compare(learner: Learner, evidence: Sequence[Evidence], classes: int, others: Sequence[Evidence]) -> None:
        found = learner.solve(evidence, 0)
        expected, steps = numpy_rule(evidence, classes, learner.exponent(len(evidence)), 0.9, 100)
        assert found.learned
        assert abs(found.steps - steps) <= 1, "jitter and float32 may bring a row over the line one step earlier or later"
        assert np.array_equal(found.head.contexts, expected.contexts)
        assert found.head.exponent == expected.exponent
        difference = np.abs(found.head.coefficients - expected.coefficients)
        if found.steps == steps:  # a row on the line may get its last step or not: hence the wider limit for one number
            assert np.linalg.norm(difference) <= 3e-3 * np.linalg.norm(expected.coefficients)
            assert difference.max() <= 2e-2 * np.abs(expected.coefficients).max()
        there, here = answers(expected, others), answers(found.head, others)
        unsure = np.sort(softmax(np.concatenate([expected.logits(e.seen) for e in others])), axis=1)
        clear = unsure[:, -1] - unsure[:, -2] > 5e-3
        assert np.array_equal(there[0][clear], here[0][clear])
        labels, probability = answers(found.head, evidence)
        assert labels.tolist() == [e.label for e in evidence]
        assert probability.min() >= 0.9


class TestSolve:
    def test_nothing_gives_the_factory_head(self, learner: Learner, seen: tuple[Prediction, ...]) -> None:
        found = learner.solve([], 0)
        assert (found.steps, found.learned, found.acting) == (0, True, set())
        assert np.array_equal(found.head.logits(seen[0].seen), seen[0].seen.logits)

    def test_what_is_right_already_costs_no_step(self, learner: Learner) -> None:
        sure = some_seen(1, 10, 1024, 96)
        sure.logits[:] = 0
        sure.logits[0, 3] = 20
        found = learner.solve([Evidence(1, 3, sure)], 0)
        assert (found.steps, found.learned, found.acting) == (0, True, {1})
        assert not found.head.coefficients.any()

    def test_same_set_gives_the_same_bytes(self, learner: Learner, default_artifact: Artifact) -> None:
        evidence = sentinel_evidence(default_artifact, 40)
        first = learner.solve(evidence, 0).head.digest()
        learner.solve(evidence[:7], 0)  # another solve in between leaves nothing behind
        assert learner.solve(evidence, 0).head.digest() == first
        assert new_learner(default_artifact).solve(evidence, 0).head.digest() == first

    @given(order=st.permutations(range(12)))
    def test_order_does_not_matter(
        self, order: list[int], learner: Learner, seen: tuple[Prediction, ...], default_artifact: Artifact
    ) -> None:
        evidence = field_evidence(seen, default_artifact)
        shuffled = [evidence[place] for place in order]
        expected = learner.solve(evidence, 0)
        assert learner.solve(shuffled, 0).head.digest() == expected.head.digest(), "the list's order"
        renumbered = [dataclasses.replace(e, id=n + 1) for n, e in enumerate(shuffled)]
        assert learner.solve(renumbered, 0).head.digest() == expected.head.digest(), "the order in which they were made"

    def test_rows_are_the_ids_in_the_order_of_the_head(self, learner: Learner, default_artifact: Artifact) -> None:
        evidence = sentinel_evidence(default_artifact, 30)
        found = learner.solve(evidence, 0)
        by_id = {e.id: e for e in evidence}
        assert np.array_equal(np.concatenate([by_id[m.ids[0]].seen.context for m in found.memories]), found.head.contexts)
        assert found.acting == standing(evidence, 256, 0.98)

    def test_views_are_rows_of_the_same_label(self, learner: Learner, default_artifact: Artifact) -> None:
        one, two, three = (e.seen for e in sentinel_evidence(default_artifact, 3))
        views = Seen(*(np.concatenate([getattr(s, name) for s in (one, two, three)]) for name in ("logits", "features", "context")))
        found = learner.solve([Evidence(1, 4, views)], 0)
        assert found.acting == {1}
        assert found.head.contexts.shape == (3, 96)
        assert (found.head.logits(views).argmax(1) == 4).all()

    def test_confidence_is_a_setting(self, default_artifact: Artifact) -> None:
        evidence = sentinel_evidence(default_artifact, 5)
        steps = []
        for confidence in (0.5, 0.9, 0.99):
            found = new_learner(default_artifact, confidence=confidence).solve(evidence, 0)
            assert answers(found.head, evidence)[1].min() >= confidence
            steps.append(found.steps)
        assert steps == sorted(steps)
        assert len(set(steps)) == 3

    def test_rounds_are_a_limit(self, default_artifact: Artifact) -> None:
        evidence = sentinel_evidence(default_artifact, 5)
        limited = new_learner(default_artifact, rounds=2).solve(evidence, 0)
        assert 2 <= limited.steps <= 6
        assert not limited.learned
        assert all(softmax(limited.head.logits(e.seen))[0, e.label] > 0.5 for e in evidence) or limited.steps == 6

    def test_spare_classes_never_win(self, learner: Learner, default_artifact: Artifact, seen: tuple[Prediction, ...]) -> None:
        found = learner.solve(field_evidence(seen, default_artifact), 3)
        assert found.head.coefficients.shape == (12, 13)
        assert (found.head.added.bias == NOT_IN_USE).all()
        plain = learner.solve(field_evidence(seen, default_artifact), 0)
        assert np.abs(found.head.coefficients[:, :10] - plain.head.coefficients).max() < 1e-5
        for prediction in seen:
            assert softmax(found.head.logits(prediction.seen))[0, 10:].max() == 0


class TestExponent:
    def test_table_decides(self, learner: Learner, default_artifact: Artifact) -> None:
        statistics = default_artifact.statistics
        for rows in range(1, 257):
            fits = [m for m, leak in zip(statistics.leak_exponents, statistics.leak, strict=True) if 2 <= m <= 4 and leak * rows <= 0.3]
            assert learner.exponent(rows) == (min(fits) if fits else 4.0)

    def test_few_reach_far_and_many_stay_local(self, learner: Learner) -> None:
        found = [learner.exponent(rows) for rows in range(257)]
        assert found[0] == found[1] == 2.0
        assert found == sorted(found)
        assert found[-1] > 2.0

    def test_range_is_a_setting(self, default_artifact: Artifact) -> None:
        assert new_learner(default_artifact, exponent_low=3.0).exponent(1) == 3.0
        assert new_learner(default_artifact, leak_budget=0.0).exponent(256) == 4.0
        assert new_learner(default_artifact, exponent_low=2.0, exponent_high=2.0).exponent(256) == 2.0


def turned(seen: Seen, angle: float) -> Seen:
    """The same with its context turned by an angle, towards a direction that it has nothing of."""
    context = seen.context[0].astype(np.float64)
    side = np.random.default_rng(5).normal(size=len(context))
    side -= side @ context / (context @ context) * context
    new = context / np.linalg.norm(context) * np.cos(angle) + side / np.linalg.norm(side) * np.sin(angle)
    return dataclasses.replace(seen, context=new.astype(np.float32)[None])


class TestSupersede:
    @pytest.mark.parametrize("cosine, superseded", [(1.0, True), (0.985, True), (0.975, False), (0.9, False)])
    def test_later_word_on_the_same_picture_stands(
        self, cosine: float, superseded: bool, learner: Learner, default_artifact: Artifact
    ) -> None:
        (first,) = sentinel_evidence(default_artifact, 1)
        again = Evidence(2, (first.label + 1) % 10, turned(first.seen, float(np.arccos(cosine))))
        found = learner.solve([first, again], 0)
        assert found.acting == ({2} if superseded else found.acting)
        assert len(found.acting) == (1 if superseded else 2)
        assert answers(found.head, [again])[0] == [again.label]

    def test_repetition_of_the_same_word_counts_once(self, learner: Learner, default_artifact: Artifact) -> None:
        (first,) = sentinel_evidence(default_artifact, 1)
        again = dataclasses.replace(first, id=2)
        found = learner.solve([first, again], 0)
        assert found.acting == {2}
        assert found.head.digest() == learner.solve([first], 0).head.digest()

    def test_superseded_one_supersedes_nothing_itself(self, learner: Learner, default_artifact: Artifact) -> None:
        (start,) = sentinel_evidence(default_artifact, 1)
        near = np.arccos(0.985)  # each is the same picture as its neighbour, the ends are not
        chain = [Evidence(n + 1, n, turned(start.seen, n * near)) for n in range(3)]
        assert learner.solve(chain, 0).acting == {1, 3}
        assert standing(chain, 256, 0.98) == {1, 3}

    def test_threshold_is_a_setting(self, default_artifact: Artifact) -> None:
        (first,) = sentinel_evidence(default_artifact, 1)
        again = Evidence(2, (first.label + 1) % 10, turned(first.seen, float(np.arccos(0.95))))
        assert len(new_learner(default_artifact).solve([first, again], 0).acting) == 2
        assert new_learner(default_artifact, same_picture=0.9).solve([first, again], 0).acting == {2}


class TestCapacity:
    def test_newest_half_stays_and_older_ones_merge(self, default_artifact: Artifact) -> None:
        evidence = sentinel_evidence(default_artifact, 20)
        found = new_learner(default_artifact, capacity=8).solve(evidence, 0)
        assert len(found.memories) == len(found.head.contexts) == 8
        assert {memory.ids for memory in found.memories} >= {(17,), (18,), (19,), (20,)}
        assert found.acting <= standing(evidence, 20, 0.98)

    def test_superseded_ones_take_no_room(self, default_artifact: Artifact) -> None:
        evidence = sentinel_evidence(default_artifact, 6)
        noise = [dataclasses.replace(evidence[5], id=number) for number in range(7, 40)]
        found = new_learner(default_artifact, capacity=6).solve([*evidence, *noise], 0)
        assert found.acting == {1, 2, 3, 4, 5, 39}

    def test_views_take_room_that_pictures_leave(self, default_artifact: Artifact) -> None:
        one, two, three, four = (e.seen for e in sentinel_evidence(default_artifact, 4))
        pair = Seen(*(np.concatenate([getattr(s, name) for s in (three, four)]) for name in ("logits", "features", "context")))
        evidence = [Evidence(1, 0, one), Evidence(2, 1, two), Evidence(3, 2, pair)]
        found = new_learner(default_artifact, capacity=4).solve(evidence, 0)
        assert (found.acting, len(found.head.contexts)) == ({1, 2, 3}, 4)
        found = new_learner(default_artifact, capacity=3).solve(evidence, 0)
        assert (found.acting, len(found.head.contexts)) == ({1, 2, 3}, 3), "a picture is worth more than a view"
        assert new_learner(default_artifact, capacity=2).solve(evidence, 0).acting == {2, 3}

    def test_more_than_the_artifact_allows_is_not_had(self, default_artifact: Artifact) -> None:
        assert len(self.full(default_artifact, 100_000).memories) == 256

    def test_pictures_of_one_bad_light_are_all_first_in_the_end(self, default_artifact: Artifact) -> None:
        """Their contexts share a direction, so the steps are short and the rounds end before every row has its confidence."""
        rng, evidence = np.random.default_rng(0), []
        light = rng.normal(size=96)
        for e in sentinel_evidence(default_artifact, 150):
            shifted = e.seen.context + light / np.linalg.norm(light)
            context = (shifted / np.linalg.norm(shifted)).astype(np.float32)
            wrong = (int(e.seen.logits[0].argmax()) + 1 + int(rng.integers(9))) % 10
            evidence.append(Evidence(e.id, wrong, Seen(e.seen.logits, e.seen.features, context)))
        found = new_learner(default_artifact, same_picture=1.0).solve(evidence, 0)
        assert found.steps > 100
        assert not found.learned
        assert all(found.head.logits(e.seen)[0].argmax() == e.label for e in evidence)

    def test_full_head_is_learned(self, default_artifact: Artifact) -> None:
        found = self.full(default_artifact, 0)
        assert found.learned
        assert found.head.contexts.shape == (256, 96)
        assert np.isfinite(found.head.coefficients).all()

    @staticmethod
    def full(artifact: Artifact, capacity: int) -> Solution:
        evidence = [Evidence(n + 1, n % 10, some_seen(n, 10, 1024, 96)) for n in range(300)]
        return new_learner(artifact, capacity=capacity).solve(evidence, 0)

    @given(
        places=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.4), st.integers(0, 9)), min_size=1, max_size=24),
        capacity=st.integers(1, 9),
    )
    def test_those_that_stand_are_those_of_the_rule(
        self, places: list[tuple[int, float, int]], capacity: int, default_artifact: Artifact
    ) -> None:
        pictures = sentinel_evidence(default_artifact, 6)
        evidence = [Evidence(n + 1, label, turned(pictures[i].seen, angle)) for n, (i, angle, label) in enumerate(places)]
        cosines = [float(a.seen.context[0] @ b.seen.context[0]) for a in evidence for b in evidence]
        if any(abs(cosine - 0.98) < 1e-5 for cosine in cosines):
            return  # float32 may say one thing or the other
        found = new_learner(default_artifact, "portable", capacity=capacity).solve(evidence, 0)
        assert len(found.head.contexts) <= capacity
        assert found.acting <= standing(evidence, len(evidence), 0.98)
        if len(standing(evidence, len(evidence), 0.98)) <= capacity:
            assert found.acting == standing(evidence, capacity, 0.98)


class TestNeverDiverges:
    @pytest.mark.parametrize("count", [2, 3, 6])
    def test_near_duplicates_with_another_label(self, count: int, learner: Learner, default_artifact: Artifact) -> None:
        (first,) = sentinel_evidence(default_artifact, 1)
        evidence = [Evidence(n + 1, n % 2, turned(first.seen, n * float(np.arccos(0.979)))) for n in range(count)]
        found = learner.solve(evidence, 0)
        expected, steps = numpy_rule(evidence, 10, 2.0, 0.9, 100)
        assert len(found.acting) == count
        assert (found.steps, found.learned) == (steps, False), "the rule itself needs more rounds for so hard a case"
        assert 100 <= steps <= 300
        assert np.linalg.norm(found.head.coefficients - expected.coefficients) <= 3e-3 * np.linalg.norm(expected.coefficients)

    def test_same_picture_under_two_thresholds(self, default_artifact: Artifact) -> None:
        (first,) = sentinel_evidence(default_artifact, 1)
        evidence = [first, dataclasses.replace(first, id=2, label=(first.label + 1) % 10)]
        found = new_learner(default_artifact, same_picture=1.0).solve(evidence, 0)
        assert np.isfinite(found.head.coefficients).all(), "κ is singular, and no row can have both labels"

    @given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 40), spread=st.floats(0.01, 3), scale=st.floats(0.1, 300))
    def test_any_crowd(self, seed: int, count: int, spread: float, scale: float, learner: Learner) -> None:
        rng = np.random.default_rng(seed)
        middle = rng.normal(size=96)
        evidence = []
        for number in range(count):
            context = middle + spread * rng.normal(size=96)
            context = (context / np.linalg.norm(context)).astype(np.float32)[None]
            logits = (scale * rng.normal(size=(1, 10))).astype(np.float32)
            evidence.append(Evidence(number + 1, int(rng.integers(10)), Seen(logits, np.zeros((1, 1024), np.float32), context)))
        found = learner.solve(evidence, 0)
        assert found.steps <= 300
        assert np.isfinite(found.head.coefficients).all()
        assert np.abs(found.head.coefficients).max(initial=0) <= 1.05 * found.steps, "a step changes a number by at most one"
        kept = [e for e in evidence if e.id in found.acting]
        labels, probability = answers(found.head, kept)
        assert not found.learned or (labels.tolist() == [e.label for e in kept] and probability.min() >= 0.9)


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 128, 200])
def test_the_triangle_is_solved_as_a_square_would_be(rows: int) -> None:
    rng = np.random.default_rng(rows)
    points = rng.normal(size=(rows, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    factor = np.linalg.cholesky(np.maximum(points @ points.T, 0) ** 3 + 1e-2 * np.eye(rows))
    right = rng.normal(size=(rows, 5))
    kept = right.copy()
    expected = np.linalg.solve(factor.T, right)
    assert np.allclose(_unwhitened(factor, right), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())
    assert np.array_equal(right, kept)
