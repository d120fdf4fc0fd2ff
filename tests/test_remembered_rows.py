"""Rows that are kept from one correction to the next are those that would be found anew, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.head import Evidence
from edge_agent.remembered_rows import RememberedRows, Rows
from edge_agent.runtime import Seen

DIRECTIONS, SAME_PICTURE = 6, 0.98


def a_correction(number: int, picture: int, label: int = 0, rows: int = 1, turn: float = 0.0) -> Evidence:
    """Of one of a few pictures; `turn` moves it a little."""
    rng = np.random.default_rng(picture)
    contexts = rng.normal(size=(rows, DIRECTIONS)) + turn * np.random.default_rng(number).normal(size=(rows, DIRECTIONS))
    contexts = (contexts / np.linalg.norm(contexts, axis=1, keepdims=True)).astype(np.float32)
    return Evidence(number, label, Seen(rng.normal(size=(rows, 3)).astype(np.float32), np.zeros((rows, 2), np.float32), contexts))


def fresh(capacity: int = 12, same_picture: float = SAME_PICTURE) -> RememberedRows:
    return RememberedRows(capacity, same_picture, DIRECTIONS)


def written_out(rows: Rows) -> tuple[object, ...]:
    """Every byte that a solve sees."""
    arrays = rows.labels, rows.logits, rows.contexts
    ids = [(memory.ids, memory.label, *(getattr(memory.seen, name).tobytes() for name in ("logits", "features", "context")))
           for memory in rows.memories]  # fmt: skip
    return rows.evidence, ids, [(array.dtype, array.shape, array.tobytes()) for array in arrays]


pictures = st.builds(
    lambda picture, label, rows, turn: (picture, label, rows, turn),
    st.integers(0, 9), st.integers(0, 2), st.sampled_from([1, 1, 1, 2]), st.sampled_from([0.0, 1e-4, 0.05, 1.0]),
)  # fmt: skip


@given(st.lists(st.tuples(pictures, st.sampled_from(["written", "written", "dry", "undone"])), min_size=1, max_size=14))
def test_whatever_was_asked_before_the_rows_are_those_found_anew(history: list[tuple[tuple[int, int, int, float], str]]) -> None:
    asked, active = fresh(), tuple[Evidence, ...]()
    for number, ((picture, label, rows, turn), what) in enumerate(history):
        evidence = (*active, a_correction(number + 1, picture, label, rows, turn))
        if what == "undone":
            evidence = evidence[:-2] or evidence
        assert written_out(asked.of(evidence)) == written_out(fresh().of(evidence))
        active = active if what == "dry" else evidence


def test_a_new_picture_is_put_among_those_that_are_there() -> None:
    asked, evidence = fresh(), tuple(a_correction(number, number) for number in range(1, 6))
    first = asked.of(evidence)
    for newest in (a_correction(6, 6), a_correction(6, 7)):  # what was only considered leaves no trace
        found = asked.of((*evidence, newest))
        assert {id(memory) for memory in first.memories} < {id(memory) for memory in found.memories}
    written = asked.of((*evidence, newest))
    after = asked.of((*evidence, newest, a_correction(7, 8)))
    assert {id(memory) for memory in written.memories} < {id(memory) for memory in after.memories}


@pytest.mark.parametrize(
    "newest",
    [
        pytest.param(a_correction(9, 2), id="a picture that came before"),
        pytest.param(a_correction(9, 20, rows=8), id="more views than there is room for"),
    ],
)
def test_one_that_changes_others_is_worked_out_anew(newest: Evidence) -> None:
    asked, evidence = fresh(), tuple(a_correction(number, number) for number in range(1, 6))
    first = asked.of(evidence)
    found = asked.of((*evidence, newest))
    assert not {id(memory) for memory in first.memories} & {id(memory) for memory in found.memories}
    assert written_out(found) == written_out(fresh().of((*evidence, newest)))


def test_what_rounding_could_decide_is_worked_out_anew() -> None:
    """Two pictures whose cosine is just the limit: whether they are one may hang on the order of a sum."""
    one, other = a_correction(1, 1), a_correction(2, 1, turn=0.1)
    cosine = float(one.seen.context[0] @ other.seen.context[0])
    for same_picture, is_kept in ((cosine, False), (cosine + 1e-6, False), (cosine + 1e-3, True)):
        asked = fresh(same_picture=same_picture)
        first, found = asked.of((one,)), asked.of((one, other))
        assert any(memory is first.memories[0] for memory in found.memories) is is_kept


def test_views_go_with_their_picture() -> None:
    asked, evidence = fresh(), tuple(a_correction(number, number, rows=2) for number in range(1, 5))
    asked.of(evidence)
    for rows in (1, 2, 4):
        more = (*evidence, a_correction(5, 10, 1, rows))
        assert written_out(asked.of(more)) == written_out(fresh().of(more))
        assert len(asked.of(more).contexts) == 8 + rows
