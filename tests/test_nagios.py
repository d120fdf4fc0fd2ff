"""Nagios' states, ranges and line; the ranges of the guidelines' own table."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import UsageError
from edge_agent.nagios import Measure, Range, Status, performance_data, plain_number, status_line, worst

PERFORMANCE = re.compile(r"[a-z0-9_]+=(U|-?\d+(\.\d+)?)(s|B|c)?(;[-@~:.0-9]*){0,2}")


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("10", (0, 5, 10), (-1, 10.1)),
        ("10:", (10, 1e9), (9.99, -1)),
        ("~:10", (-1e9, 0, 10), (10.01,)),
        ("10:20", (10, 15, 20), (9, 21)),
        ("@10:20", (9, 21), (10, 15, 20)),
        ("@1:3", (0.9, 3.1), (1, 3)),
        ("~:5", (-3, 5), (6,)),
        ("-1.5:.5", (-1.5, 0.5), (-2, 0.6)),
        ("~:", (-1e300, 1e300), ()),
        (":3", (0, 3), (-1, 4)),
        ("@~:0", (0.1,), (0, -1)),
    ],
)
def test_range(text: str, good: tuple[float, ...], bad: tuple[float, ...]) -> None:
    limit = Range.parse(text)
    assert [limit.alerts(value) for value in good] == [False] * len(good)
    assert [limit.alerts(value) for value in bad] == [True] * len(bad)
    assert limit.alerts(math.nan)
    assert limit.text == text


@pytest.mark.parametrize("text", ["", "@", ":", "x", "10:5", "1e3", "10:20:30", "~", "1,5", "nan", "10 : 20", "--1", "٣"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="range"):
        Range.parse(text)


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_made_ranges_mean_what_their_text_says(limit: float, value: float) -> None:
    for made in (Range.at_most(limit), Range.at_least(limit)):
        parsed = Range.parse(made.text)
        if abs(value - limit) > 1e-8 * max(abs(limit), 1e-300):
            assert made.alerts(value) == parsed.alerts(value)


@given(st.floats())
def test_numbers_are_plain(value: float) -> None:
    text = plain_number(value)
    assert re.fullmatch(r"U|-?\d+(\.\d+)?", text)
    if text != "U":
        assert float(text) == pytest.approx(value, rel=1e-8, abs=1e-320)


@pytest.mark.parametrize(
    ("states", "found"),
    [
        ([], Status.UNKNOWN),
        ([Status.OK], Status.OK),
        ([Status.OK, Status.UNKNOWN], Status.UNKNOWN),
        ([Status.UNKNOWN, Status.WARNING], Status.WARNING),
        ([Status.CRITICAL, Status.UNKNOWN, Status.WARNING], Status.CRITICAL),
    ],
)
def test_worst(states: list[Status], found: Status) -> None:
    assert worst(states) is found


def test_exit_codes_are_those_of_the_convention() -> None:
    assert [(status.name, int(status)) for status in Status] == [("OK", 0), ("WARNING", 1), ("CRITICAL", 2), ("UNKNOWN", 3)]


def test_a_measure_takes_the_worse_of_its_ranges() -> None:
    warning, critical = Range.parse("10"), Range.parse("20")
    states = [Measure("m", value, "", warning, critical).status for value in (5, 15, 25, math.nan)]
    assert states == [Status.OK, Status.WARNING, Status.CRITICAL, Status.CRITICAL]
    assert Measure("m", 1e9).status is Status.OK


@given(st.floats(), st.sampled_from(["", "s", "B", "c"]), st.sampled_from([None, "10:", "~:5", "@1:3"]), st.sampled_from([None, "7"]))
def test_performance_data_is_valid(value: float, unit: str, warning: str | None, critical: str | None) -> None:
    ranges = [None if text is None else Range.parse(text) for text in (warning, critical)]
    text = performance_data([Measure("disk_free", value, unit, *ranges), Measure("other", 1)])
    assert all(PERFORMANCE.fullmatch(word) for word in text.split(" "))
    assert len(text.split(" ")) == 2


@given(st.text())
def test_the_line_is_one_line_with_one_bar(text: str) -> None:
    line = status_line(Status.WARNING, text, [Measure("a", 1)])
    assert line.startswith("EDGE-AGENT WARNING - ")
    assert line.endswith(" | a=1")
    assert line.count("|") == 1
    assert len(line.splitlines()) == 1
    assert "|" not in status_line(Status.OK, text)
