"""The hostile corpus is data that people read: names, sentences and expected words are there, and each stands once."""

from __future__ import annotations

import hostile
import pytest

pytest.importorskip("onnx")


def test_corpus_is_described() -> None:
    cases = hostile.corpus()
    assert len(cases) >= 80
    assert len({case.name for case in cases}) == len({case.what for case in cases}) == len(cases)
    assert all(case.words and case.what.endswith(".") for case in cases)


def test_part_of_the_corpus_is_spread_over_all_of_it() -> None:
    cases = hostile.corpus()
    part = hostile.spread(cases, 40)
    assert len({case.name for case in part}) == 40
    assert {case.name for case in part} & {case.name for case in cases[-4:]}
    assert hostile.spread(cases, 1000) == list(cases)
