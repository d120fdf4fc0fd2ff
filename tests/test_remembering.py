"""What the head can hold: the newest as they are, the older ones merged, the same whatever the order of the calls."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.head import Evidence
from edge_agent.remembering import Memory, mean_context, memories
from edge_agent.runtime import Seen


def some_evidence(number: int, label: int, rows: int = 1, spread: float = 0.3) -> Evidence:
    """A picture near the centre of its label."""
    rng = np.random.default_rng(number)
    contexts = np.random.default_rng(1000 + label).normal(size=12) + spread * rng.normal(size=(rows, 12)) * 4
    contexts = (contexts / np.linalg.norm(contexts, axis=1, keepdims=True)).astype(np.float32)
    return Evidence(number, label, Seen(rng.normal(size=(rows, 3)).astype(np.float32), np.zeros((rows, 2), np.float32), contexts))


def rows_of(kept: list[Memory]) -> int:
    return sum(len(memory.seen.context) for memory in kept)


def test_what_fits_is_left_alone() -> None:
    evidence = [some_evidence(number, number % 3, rows=2) for number in range(6, 0, -1)]
    kept = memories(evidence, 12)
    assert [memory.ids for memory in kept] == [(6,), (5,), (4,), (3,), (2,), (1,)]
    assert all(memory.seen is e.seen for memory, e in zip(kept, evidence, strict=True))


def test_nothing_is_nothing() -> None:
    assert memories([], 4) == []


def test_the_nearest_two_of_a_label_are_merged_first() -> None:
    near, far = some_evidence(1, 0, spread=0.0), some_evidence(2, 0, spread=1.0)
    twin, other, newest = some_evidence(3, 0, spread=0.01), some_evidence(4, 1), some_evidence(5, 2)
    kept = memories([newest, other, twin, far, near], 4)
    assert (3, 1) in {memory.ids for memory in kept}
    assert rows_of(kept) == 4


def test_labels_are_never_mixed_and_the_oldest_leave_when_nothing_can_be_merged() -> None:
    kept = memories([some_evidence(number, number) for number in (3, 2, 1)], 2)
    assert [memory.ids for memory in kept] == [(3,), (2,)]


def test_a_merged_row_lies_between_and_is_as_hard_as_its_hardest() -> None:
    one, other = some_evidence(1, 0), some_evidence(2, 0)
    merged = next(memory for memory in memories([some_evidence(3, 1), other, one], 2) if len(memory.ids) == 2)
    assert merged.ids == (2, 1)
    assert np.array_equal(merged.seen.context, mean_context([other.seen.context, one.seen.context]))
    assert np.isclose(np.linalg.norm(merged.seen.context), 1)
    need = [np.delete(e.seen.logits[0], 0).max() - e.seen.logits[0, 0] for e in (one, other)]
    assert np.array_equal(merged.seen.logits[0], (one, other)[int(np.argmax(need))].seen.logits[0])


def test_views_leave_before_their_picture_does() -> None:
    newest = some_evidence(9, 0, rows=5)
    assert rows_of(memories([newest, some_evidence(1, 1)], 3)) == 2
    assert np.array_equal(memories([newest], 3)[0].seen.context, newest.seen.context[:1])


def test_as_many_pictures_as_rows_are_all_kept_and_the_newest_keep_their_views() -> None:
    evidence = [some_evidence(number, number % 3, rows=2) for number in range(8, 0, -1)]
    kept = memories(evidence, 11)
    assert [memory.ids for memory in kept] == [(number,) for number in range(8, 0, -1)]
    assert [len(memory.seen.context) for memory in kept] == [2, 2, 2, 1, 1, 1, 1, 1]
    assert [len(memory.ids) for memory in memories(evidence, 8)] == [1] * 8


def test_more_pictures_than_rows_are_merged_but_the_newest_half() -> None:
    kept = memories([some_evidence(number, number % 2, rows=2) for number in range(20, 0, -1)], 10)
    assert [memory.ids for memory in kept[:5]] == [(20,), (19,), (18,), (17,), (16,)]
    assert rows_of(kept) == 10
    assert sorted(number for memory in kept for number in memory.ids) == list(range(1, 21))


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    views=st.integers(1, 3),
    capacity=st.integers(1, 12),
)
def test_laws(labels: list[int], views: int, capacity: int) -> None:
    evidence = [some_evidence(number, label, rows=views) for number, label in reversed(list(enumerate(labels, 1)))]
    kept = memories(evidence, capacity)
    ids = [number for memory in kept for number in memory.ids]
    assert 0 < rows_of(kept) <= capacity
    assert len(ids) == len(set(ids)), "a correction acts once"
    assert len(labels) in kept[0].ids, "the newest always acts"
    assert len(kept[0].ids) == 1, "and on its own"
    assert all(memory.label == labels[number - 1] for memory in kept for number in memory.ids)
    again = memories(evidence, capacity)
    assert [(m.ids, m.seen.context.tobytes()) for m in again] == [(m.ids, m.seen.context.tobytes()) for m in kept]
