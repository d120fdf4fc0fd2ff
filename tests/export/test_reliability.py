from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.reliability import confusion_matrix, confusions, interval, reliability

LOG3 = np.log(3.0)


def test_bins_say_what_was_said_and_what_held() -> None:
    logits = np.array([[LOG3, 0.0], [LOG3, 0.0], [0.0, LOG3], [30.0, 0.0]], np.float32)  # 75 %, 75 %, 75 %, certain
    found = reliability(logits, np.array([0, 1, 1, 0]))
    assert [one.count for one in found.bins] == [0, 0, 0, 0, 0, 0, 0, 3, 0, 1]
    assert found.bins[7].said == pytest.approx(0.75) and found.bins[7].right == pytest.approx(2 / 3)
    assert found.bins[9].said == pytest.approx(1.0) and found.bins[9].right == 1.0
    assert found.error == pytest.approx(0.75 * (0.75 - 2 / 3), abs=1e-6)


def test_one_who_is_always_certain_and_half_right() -> None:
    logits = np.array([[50.0, 0.0]] * 4, np.float32)
    assert reliability(logits, np.array([0, 1, 0, 1])).error == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_matrix_counts_every_picture_once(pairs: list[tuple[int, int]]) -> None:
    truths, said = (np.array(column) for column in zip(*pairs, strict=True))
    matrix = confusion_matrix(np.eye(3, dtype=np.float32)[said], truths)
    assert matrix.sum() == len(pairs) and all(matrix[t, s] == pairs.count((t, s)) for t in range(3) for s in range(3))
    mistakes = confusions(matrix, 100)
    assert sum(one.count for one in mistakes) == int((truths != said).sum()) and all(one.truth != one.said for one in mistakes)
    assert [one.count for one in mistakes] == sorted((one.count for one in mistakes), reverse=True)


def test_most_frequent_mistakes_first() -> None:
    found = confusions(np.array([[5, 2, 0], [3, 1, 0], [0, 2, 0]]), 2)
    assert [(one.truth, one.said, one.count, one.of) for one in found] == [(1, 0, 3, 4), (2, 1, 2, 2)]


def test_interval_of_a_share() -> None:
    low, high = interval(8, 10)
    assert (low, high) == (pytest.approx(0.490, abs=1e-3), pytest.approx(0.943, abs=1e-3)), "Wilson, 1927"
    assert interval(0, 0) == (0.0, 1.0) and interval(10, 10)[1] == 1.0 and interval(0, 10)[0] == 0.0
