from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import some_seen

from edge_agent.head import NOT_IN_USE, AddedClasses, Head, kernel, softmax


def a_head(rows: int = 3, added: int = 0, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    numbers = (rng.normal(size=shape).astype(np.float32) for shape in ((added, 5), (added, 4), (added,), (rows, 3 + added)))
    weight, local, bias, coefficients = numbers
    contexts = np.concatenate([np.zeros((0, 4), np.float32), *(some_seen(100 + n).context for n in range(rows))])
    return Head(contexts, coefficients, 2.5, AddedClasses(weight, local, bias))


class TestKernel:
    def test_same_picture_is_one_and_what_points_away_is_zero(self) -> None:
        x = some_seen(1).context
        assert kernel(x, x, 3.0) == pytest.approx(1, abs=1e-6)
        assert kernel(x, -x, 3.0) == 0

    @pytest.mark.parametrize("exponent", [*np.arange(1, 8.25, 0.25).tolist(), 2.3, 16.0, 17.5, 400.0])
    def test_it_is_the_power_of_the_cosine(self, exponent: float) -> None:
        """By roots and products where the exponent is a multiple of a quarter, else by a power: the same to float32."""
        x, y = some_seen(1, rows=40).context, some_seen(2, rows=30).context
        before = x.copy(), y.copy()
        cosine = (x @ y.T).astype(np.float64)
        assert np.allclose(kernel(x, y, exponent), np.maximum(cosine, 0) ** exponent, rtol=2e-6, atol=1e-12)
        assert np.array_equal(x, before[0]) and np.array_equal(y, before[1])

    @given(seed=st.integers(0, 1000), exponent=st.floats(1, 8))
    def test_it_is_symmetric_and_between_zero_and_one(self, seed: int, exponent: float) -> None:
        x = some_seen(seed, rows=6).context
        found = kernel(x, x, exponent)
        assert found.dtype == np.float32
        assert found.shape == (6, 6)
        assert np.allclose(found, found.T, atol=1e-6)
        assert (found >= 0).all()
        assert found.max() <= 1 + 1e-5

    @given(seed=st.integers(0, 1000), low=st.floats(1, 4), more=st.floats(0, 4))
    def test_greater_exponent_is_narrower(self, seed: int, low: float, more: float) -> None:
        x, y = some_seen(seed, rows=4).context, some_seen(seed + 1, rows=5).context
        assert (kernel(x, y, low + more) <= kernel(x, y, low) + 1e-6).all()

    def test_formula(self) -> None:
        x, y = some_seen(1, rows=3).context, some_seen(2, rows=4).context
        expected = [[max(0.0, float(np.dot(a, b))) ** 2.5 for b in y] for a in x]
        assert np.allclose(kernel(x, y, 2.5), expected, atol=1e-6)


class TestSoftmax:
    @given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30))
    def test_sums_to_one_and_keeps_the_order(self, logits: list[float]) -> None:
        values = np.array(logits, np.float32)
        found = softmax(values)
        assert found.sum() == pytest.approx(1, abs=1e-5)
        assert (found >= 0).all()
        assert found[values.argmax()] == found.max()

    def test_it_neither_overflows_nor_minds_a_shift(self) -> None:
        values = np.array([[1e30, 0, -1e30], [1, 2, 3]], np.float32)
        assert np.array_equal(softmax(values)[0], [1, 0, 0])
        assert np.allclose(softmax(values)[1], softmax(values[1] + 100), atol=1e-6)


class TestLogits:
    def test_factory_head_says_what_the_network_says(self) -> None:
        seen = some_seen(1, rows=4)
        head = Head.factory(3, 2.0, AddedClasses.unlearned(0, 5, 4))
        assert head.logits(seen) is seen.logits
        assert head.coefficients.shape == (0, 3)
        assert head.contexts.shape == (0, 4)

    def test_unlearned_classes_never_win(self) -> None:
        seen = some_seen(1, rows=4)
        found = Head.factory(3, 2.0, AddedClasses.unlearned(2, 5, 4)).logits(seen)
        assert found.shape == (4, 5)
        assert np.array_equal(found[:, :3], seen.logits)
        assert (found[:, 3:] == NOT_IN_USE).all()

    def test_formula(self) -> None:
        head, seen = a_head(3, 2), some_seen(9, rows=4)
        added = seen.features @ head.added.weight.T + seen.context @ head.added.local.T + head.added.bias
        near = np.maximum(seen.context @ head.contexts.T, 0) ** 2.5
        expected = np.concatenate([seen.logits, added], 1) + near @ head.coefficients
        assert np.allclose(head.logits(seen), expected, atol=1e-5)
        assert np.allclose(head.base_logits(seen), np.concatenate([seen.logits, added], 1), atol=1e-6)
        assert len(head.added) == 2

    def test_far_from_what_is_remembered_the_factory_speaks(self) -> None:
        head, seen = a_head(1), some_seen(1)
        away = replace(seen, context=-head.contexts)
        assert np.array_equal(head.logits(away), seen.logits)

    def test_rows_do_not_depend_on_each_other(self) -> None:
        head, seen = a_head(3, 1), some_seen(9, rows=4)
        for row in range(4):
            one = type(seen)(seen.logits[row : row + 1], seen.features[row : row + 1], seen.context[row : row + 1])
            assert np.allclose(head.logits(one), head.logits(seen)[row : row + 1], atol=1e-6)


class TestDigest:
    def test_equal_heads_have_equal_digests(self) -> None:
        assert a_head(3, 2).digest() == a_head(3, 2).digest()
        assert len(a_head().digest()) == 64

    def test_every_number_counts(self) -> None:
        head = a_head(3, 2)
        found = {head.digest(), replace(head, exponent=np.nextafter(2.5, 3)).digest()}
        for owner, names in ((head, ("contexts", "coefficients")), (head.added, ("weight", "local", "bias"))):
            for name in names:
                array = getattr(owner, name).copy()
                array.flat[-1] = np.nextafter(array.flat[-1], np.float32(9), dtype=np.float32)
                changed = replace(owner, **{name: array})
                found.add((changed if owner is head else replace(head, added=changed)).digest())
        assert len(found) == 7

    def test_memory_layout_does_not_count(self) -> None:
        head = a_head(3, 2)
        fortran = replace(head, coefficients=np.asfortranarray(head.coefficients))
        assert fortran.digest() == head.digest()

    def test_shapes_count(self) -> None:
        empty = AddedClasses.unlearned(0, 5, 4)
        numbers = np.zeros((2, 6), np.float32)
        one = Head(np.zeros((2, 4), np.float32), numbers, 2.0, empty)
        other = Head(np.zeros((2, 4), np.float32), numbers.reshape(3, 4), 2.0, empty)
        assert one.digest() != other.digest()
