"""Advice: counts and their intervals, from what is really there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from on_device import PHOTOS, TRUTHS

from edge_agent import EdgeAgent
from edge_agent.advising import RESHOTS, Share


@given(of=st.integers(1, 5000), data=st.data())
def test_the_interval_holds_the_share_and_shrinks(of: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, of))
    share, larger = Share.counted(right, of), Share.counted(right * 4, of * 4)
    assert 0 <= share.low <= right / of + 1e-9 and right / of - 1e-9 <= share.high <= 1
    assert larger.high - larger.low < share.high - share.low


def test_nothing_counted_is_nothing_known() -> None:
    assert Share.counted(0, 0) == Share(0, 0, 0.0, 1.0)


def test_before_the_first_correction(agent: EdgeAgent) -> None:
    advice = agent.advise()
    assert (advice.sentinel.of, advice.reshots.of, advice.others_alone.of, advice.field.of) == (200, 0, 0, 0)
    assert len(advice.labels) == 10
    assert "Nothing was taught yet" in advice.sentences[-1]
    assert not agent.state.exists(), "advice writes nothing"


def test_after_some(agent: EdgeAgent) -> None:
    for path, truth in list(zip(PHOTOS, TRUTHS, strict=True))[:4]:
        agent.correct(path, truth)
    before = agent.head.digest()
    advice = agent.advise()
    assert agent.head.digest() == before
    assert (advice.reshots.of, advice.others_alone.of) == (4 * RESHOTS, 4)
    assert sum(row.corrections for row in advice.labels) == 4
    assert advice.reshots.right > 4, "most re-shots of what was taught are right"
    assert advice.field.of == 0 and any("mistakes alone" in sentence for sentence in advice.sentences)
    agent.correct(PHOTOS[0], TRUTHS[0], force=True)
    assert advice.field.of == 0 and agent.advise().field.of == 5
