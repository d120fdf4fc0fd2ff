"""Views: the same for the same picture, others for another, and never a wrong number of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import PHOTOS, TRUTHS
from PIL import Image

from edge_agent import EdgeAgent, InputError, UsageError
from edge_agent.views import check_views, views_of


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


@given(width=st.integers(1, 40), height=st.integers(1, 40), count=st.integers(0, 8), sample=st.integers(0, 2**64 - 1))
def test_same_size_and_same_bytes(width: int, height: int, count: int, sample: int) -> None:
    picture = noise(width, height)
    before = picture.tobytes()
    views = views_of(picture, count, f"{sample:016x}")
    assert [view.size for view in views] == [(width, height)] * count
    assert [view.tobytes() for view in views] == [view.tobytes() for view in views_of(picture, count, f"{sample:016x}")]
    assert picture.tobytes() == before


def test_the_first_is_the_mirror_image_and_more_views_keep_the_first_ones() -> None:
    picture = Image.linear_gradient("L").rotate(90).convert("RGB")
    one, two = views_of(picture, 1, "a1"), views_of(picture, 2, "a1")
    assert one[0].tobytes() == two[0].tobytes()
    left_to_right = np.asarray(picture, float)[:, :, 0].mean(0)
    assert np.corrcoef(np.asarray(one[0], float)[:, :, 0].mean(0), left_to_right[::-1])[0, 1] > 0.99
    assert np.corrcoef(np.asarray(two[1], float)[:, :, 0].mean(0), left_to_right)[0, 1] > 0.99


@pytest.mark.parametrize("count", [-1, 9, 1000])
def test_wrong_numbers_are_refused(count: int, agent: EdgeAgent) -> None:
    with pytest.raises(UsageError, match="expected 0 to 8"):
        check_views(count)
    with pytest.raises(UsageError, match="expected 0 to 8"):
        agent.correct(PHOTOS[0], TRUTHS[0], views=count)
    assert not agent.state.exists()


def test_each_view_is_a_row_of_the_head(agent: EdgeAgent) -> None:
    agent.correct(PHOTOS[0], TRUTHS[0], views=3)
    assert len(agent.head.contexts) == 4
    agent.correct(agent.predict(PHOTOS[1]), TRUTHS[1])
    assert len(agent.head.contexts) == 5


def test_views_of_a_prediction_need_its_file(agent: EdgeAgent) -> None:
    agent.correct(agent.predict(PHOTOS[0]), TRUTHS[0], views=2)
    assert len(agent.head.contexts) == 3
    with Image.open(PHOTOS[1]) as image, pytest.raises(InputError, match="has no views"):
        agent.correct(agent.predict(image), TRUTHS[1], views=1)
