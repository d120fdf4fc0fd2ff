from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.errors import InputError
from export import statistics
from export.statistics import context_map, leak_table, new_class, temperature

ORACLE = Path(__file__).parents[3] / "shared/learning/reference.py"


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    """The rule in readable numpy, where this checkout has it beside it."""
    if not ORACLE.is_file():
        pytest.skip("../shared/learning/reference.py is not here")
    spec = importlib.util.spec_from_file_location("reference_oracle", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference_oracle"] = module
    spec.loader.exec_module(module)
    return module


def clusters(count: int = 400, width: int = 30, classes: int = 5, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Clusters of unequal spread on a few strong directions, as features of a trained network lie."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    centres = rng.normal(0, 2, (classes, width))
    strength = np.linspace(2, 0.01, width)
    return (centres[labels] * strength + rng.normal(0, 1, (count, width)) * strength + 3).astype(np.float32), labels


class TestTemperature:
    def test_overconfident_and_timid_networks(self) -> None:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 4, 3000)
        honest = np.log(rng.dirichlet(np.ones(4), 3000)).astype(np.float32)
        labels = np.array([rng.choice(4, p=np.exp(row) / np.exp(row).sum()) for row in honest])
        for scale in (0.5, 1.0, 5.0):
            assert temperature(honest * scale, labels) == pytest.approx(scale, rel=0.12)

    def test_bounds(self) -> None:
        labels = np.array([0, 1])
        right = np.array([[9.0, 0], [0, 9.0]], np.float32)
        assert temperature(right, labels) == pytest.approx(np.exp(-1.2))
        assert temperature(-right * 1000, labels) == pytest.approx(np.exp(3))

    def test_oracle(self, oracle: ModuleType) -> None:
        rng = np.random.default_rng(1)
        logits, labels = rng.normal(0, 3, (200, 10)).astype(np.float32), rng.integers(0, 10, 200)
        assert temperature(logits, labels) == oracle.temperature(logits, labels)

    def test_huge_logits(self) -> None:
        assert np.isfinite(temperature(np.array([[1e30, 0], [0, 1e30]], np.float32), np.array([1, 0])))


class TestContextMap:
    def test_contexts_are_white_and_of_unit_length(self) -> None:
        raw, _ = clusters(3000, 12)
        found = context_map(raw, shrinkage=0.0)
        mapped = (raw - found.mean) @ found.matrix
        assert np.allclose(np.cov(mapped.T), np.eye(12), atol=0.02)
        assert np.allclose(np.linalg.norm(found.apply(raw), axis=1), 1, atol=1e-5)

    @pytest.mark.parametrize("count", [400, 20], ids=["more pictures than features", "fewer"])
    def test_oracle(self, count: int, oracle: ModuleType) -> None:
        raw, _ = clusters(count)
        found = context_map(raw, 8)
        mean, matrix = oracle.context_map(raw.astype(np.float64), 8)
        assert np.allclose(found.mean, mean, atol=1e-5)
        a = found.apply(raw)
        b = (raw - mean) @ matrix
        b /= np.linalg.norm(b, axis=1, keepdims=True)
        assert np.allclose(a @ a.T, b @ b.T, atol=1e-4), "the same up to the sign of a direction, which no kernel sees"

    def test_both_ways_to_the_directions_agree(self) -> None:
        raw, _ = clusters(40, 40)
        scaled = ((raw - raw.mean(0)) / raw.std(0)).astype(np.float64)
        through_pictures = statistics._strongest(np.hstack([scaled, scaled * 1e-9]), 10)
        through_features = statistics._strongest(scaled, 10)
        assert np.allclose(through_pictures[0], through_features[0])
        assert np.allclose(through_pictures[1][:40], through_features[1], atol=1e-6)

    def test_directions_are_no_more_than_there_are(self) -> None:
        raw, _ = clusters(400, 30)
        assert context_map(raw).matrix.shape == (30, 30)
        assert context_map(raw, 7).matrix.shape == (30, 7)
        assert context_map(raw[:5]).matrix.shape == (30, 4), "five pictures span four directions"
        assert context_map(raw[:2]).matrix.shape == (30, 1)

    def test_sign_of_a_direction_is_fixed(self) -> None:
        raw, _ = clusters(400, 10)
        order = np.random.default_rng(0).permutation(len(raw))
        one, two = context_map(raw).matrix, context_map(raw[order]).matrix
        assert np.allclose(one, two, atol=1e-3)

    def test_dead_features_do_no_harm(self) -> None:
        raw, _ = clusters(200, 10)
        found = context_map(np.hstack([raw, np.zeros((200, 3), np.float32)]))
        assert np.isfinite(found.matrix).all() and np.abs(found.matrix[10:]).max() < 1e-3

    def test_features_that_say_nothing(self) -> None:
        with pytest.raises(InputError, match="all pictures give the same features"):
            context_map(np.zeros((20, 5), np.float32))

    def test_zero_is_not_divided_by(self) -> None:
        raw, _ = clusters(50, 6)
        found = context_map(raw)
        assert np.isfinite(found.apply(found.mean[None])).all()


class TestLeak:
    def test_orthogonal_contexts_do_not_leak(self) -> None:
        exponents, leak = leak_table(np.eye(6, dtype=np.float32))
        assert exponents.tolist() == np.arange(1, 8.01, 0.25).tolist() and not leak.any()

    def test_equal_contexts_leak_wholly(self) -> None:
        assert leak_table(np.tile(np.eye(4, dtype=np.float32)[:1], (5, 1)))[1] == pytest.approx(np.ones(29))

    def test_a_picture_does_not_leak_into_itself(self) -> None:
        assert not leak_table(np.eye(1, 4, dtype=np.float32))[1].any()

    def test_opposite_contexts_do_not_leak(self) -> None:
        assert not leak_table(np.array([[1, 0], [-1, 0]], np.float32))[1].any()

    @given(st.integers(2, 30), st.integers(1, 10), st.integers(0, 1000))
    def test_falls_with_the_exponent(self, count: int, width: int, seed: int) -> None:
        contexts = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
        contexts /= np.linalg.norm(contexts, axis=1, keepdims=True)
        leak = leak_table(contexts)[1]
        assert (np.diff(leak) <= 1e-6).all() and (leak >= 0).all() and (leak <= 1 + 1e-5).all()

    def test_healthy_and_collapsed(self) -> None:
        rng = np.random.default_rng(0)
        for width, expected in ((96, False), (4, True)):
            contexts = rng.normal(size=(300, width)).astype(np.float32)
            contexts /= np.linalg.norm(contexts, axis=1, keepdims=True)
            assert statistics.collapsed(leak_table(contexts)[1]) is expected


class TestNewClass:
    def test_oracle(self, oracle: ModuleType) -> None:
        features, labels = clusters(500, 12)
        rng = np.random.default_rng(3)
        weight, bias = rng.normal(size=(5, 12)).astype(np.float32), rng.normal(size=5).astype(np.float32)
        held, own = clusters(80, 12, seed=1)
        means = np.stack([features[labels == c].mean(0) for c in range(5)])
        art = {
            "W": weight, "b": bias, "Xsen": held, "ysen": own, "Xtr": features, "mu": means, "mu0": features.mean(0),
            "var": ((features - means[labels]) ** 2).mean(0),
        }  # fmt: skip
        rule = oracle.LocalHead(art, directions=8)
        found = new_class(rule.W, rule.b, features, labels, rule.base_sentinel, own)
        expected = rule.scalars
        assert found.scale == pytest.approx(expected["a"], rel=1e-4)
        assert found.spread == pytest.approx(expected["q"], rel=1e-4)
        assert found.within == pytest.approx(expected["within"], rel=1e-4)
        assert found.own_logit == pytest.approx(expected["own"], rel=1e-4)
        assert found.own_deviation == pytest.approx(expected["sd"], rel=1e-4)
        assert found.bias == pytest.approx(expected["bias"], rel=1e-4)

    def test_rows_that_are_the_means_have_the_scale_one(self) -> None:
        features = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
        labels = np.repeat(np.arange(3), 4)
        rows = np.eye(3, dtype=np.float32)
        found = new_class(rows, np.full(3, 2, np.float32), features, labels, rows, np.arange(3))
        assert found.scale == pytest.approx(1)
        assert found.within == 0 and found.bias == 2
        assert found.spread == pytest.approx(2 / 3)
        assert found.own_logit == pytest.approx(2 / 3) and found.own_deviation == pytest.approx(0)

    def test_labels_without_pictures_are_left_out(self) -> None:
        features, labels = clusters(300, 8, 3)
        weight = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
        logits = features[:9] @ weight.T
        found = new_class(weight, np.zeros(5, np.float32), features, np.array([0, 2, 4])[labels], logits, np.arange(9) % 5)
        assert all(np.isfinite([found.scale, found.spread, found.within, found.own_logit, found.own_deviation]))

    def test_head_of_zeros(self) -> None:
        features, labels = clusters(60, 8, 3)
        weight, bias, logits = np.zeros((3, 8), np.float32), np.zeros(3, np.float32), np.zeros((4, 3), np.float32)
        found = new_class(weight, bias, features, labels, logits, np.arange(4) % 3)
        assert found.scale == 0 and found.own_logit == 0
