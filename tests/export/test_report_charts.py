from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from export.learned import Epoch
from export.reliability import Bin
from export.report_charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, learning_chart, reliability_chart

BINS = (*[Bin(0, 0.0, 0.0)] * 8, Bin(10, 0.85, 0.7), Bin(40, 0.97, 1.0))


def numbers(text: str, tag: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf'<{tag} class="[a-z]+"[^>]* {name}="([-0-9.]+)"', text)]


def test_bars_stand_where_they_belong() -> None:
    text = reliability_chart(BINS, 'said "so"')
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img" and root.get("aria-label") == 'said "so"'
    plot = HEIGHT - TOP - BOTTOM
    assert numbers(text, "rect", "height") == [pytest.approx(0.7 * plot, abs=0.1), pytest.approx(plot, abs=0.1)], "empty bins have no bar"
    assert numbers(text, "circle", "cx") == [pytest.approx(LEFT + said * (WIDTH - LEFT - RIGHT), abs=0.1) for said in (0.85, 0.97)]
    assert "said 85%, right 70%, 10 pictures" in text


def test_curve_goes_through_the_epochs() -> None:
    curve = tuple(Epoch(number, None if not number else 1.0, 1.0, share) for number, share in enumerate((0.5, 0.8, 0.7)))
    text = learning_chart(curve, 1, "a curve")
    ElementTree.fromstring(text)
    heights = numbers(text, "circle", "cy")
    assert heights[1] < heights[2] < heights[0], "higher on the page is better"
    assert text.count('class="kept"') == 1 and "after 1: 80.0%, kept" in text and "after 2: 70.0%</title>" in text
    assert all(LEFT <= x <= WIDTH - RIGHT for x in numbers(text, "circle", "cx"))


@pytest.mark.parametrize("accuracies", [(0.5,), (1.0, 1.0), (0.0, 0.0, 0.0)])
def test_flat_curves_stay_inside(accuracies: tuple[float, ...]) -> None:
    text = learning_chart(tuple(Epoch(number, None, 1.0, share) for number, share in enumerate(accuracies)), 0, "flat")
    assert all(TOP - 1 <= y <= HEIGHT - BOTTOM + 1 for y in numbers(text, "circle", "cy"))
