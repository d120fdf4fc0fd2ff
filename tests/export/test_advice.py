from __future__ import annotations

import dataclasses

import pytest

from export.advice import NOTHING, SCRATCH, Advice, Row, by_rule, recommend


def row(name: str, parameters: int, accuracy: float | None, deviation: float = 0.02) -> Row:
    measured = accuracy is not None
    return Row(name, (), parameters, accuracy, deviation if measured else None, 5 if measured else 0, 3.0, None if measured else "too long")


def rows(nothing: float | None, head: float | None, block: float | None, whole: float | None, scratch: float | None) -> list[Row]:
    return [
        row(NOTHING, 0, nothing), row("head", 10_000, head), row("head and block", 600_000, block), row("all", 1_500_000, whole),
        row(SCRATCH, 1_500_000, scratch),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "least", "name"),
    [
        (5, 2, NOTHING),
        (100, 10, "head"),  # few samples and many parameters: freeze
        (700, 70, "head and block"),
        (3_000, 300, "all"),  # many samples: fine-tune
        (80_000, 8_000, SCRATCH),  # very many
        (80_000, 500, "all"),  # many in all, few of some label
    ],
)
def test_the_rule(samples: int, least: int, name: str) -> None:
    assert by_rule(rows(0.5, 0.5, 0.5, 0.5, 0.5), samples, least).name == name


def test_a_new_task_trains_the_head_at_least() -> None:
    assert by_rule(rows(None, None, None, None, None)[1:], 5, 2).name == "head"


def test_the_best_is_recommended_when_it_is_clear() -> None:
    rule, chosen, reason = recommend(rows(0.50, 0.60, 0.70, 0.90, 0.40), 3_000, 10, 300)
    assert (rule, chosen) == ("all", "all")
    assert "Measured: 'all' is best with 90.0 % right, 20.0 points before 'head and block'. The rule agrees: 3,000 samples of 10" in reason


def test_within_chance_less_is_trained() -> None:
    rule, chosen, reason = recommend(rows(0.50, 0.80, 0.805, 0.802, 0.40), 3_000, 10, 300)
    assert (rule, chosen) == ("all", "head")
    assert "0.5 points behind 'head and block', which trains 600,000 parameters" in reason and "so train less" in reason
    assert "The rule alone would have said 'all'" in reason


def test_what_was_not_measured_is_named() -> None:
    _, chosen, reason = recommend(rows(0.5, 0.8, None, None, None), 3_000, 10, 300)
    assert chosen == "head" and reason.endswith(f"Not measured, and perhaps better: head and block, all, {SCRATCH}.")


def test_with_nothing_measured_the_rule_decides() -> None:
    rule, chosen, reason = recommend(rows(None, None, None, None, None), 100, 10, 10)
    assert rule == chosen == "head" and "rests on the rule alone" in reason
    assert "100 for each sample; the 600,000 of 'head and block' would be 6,000 for each sample, too many: freeze the rest" in reason


def test_standard_error_shrinks_with_the_folds() -> None:
    one = row("head", 1, 0.5, 0.1)
    assert one.error == pytest.approx(0.1 / 5**0.5) and dataclasses.replace(one, deviation=None).error == 0.0


def test_recommended_row() -> None:
    found = rows(0.5, 0.8, None, None, None)
    advice = Advice("net", 1, 2, 2, {"a": 1, "b": 1}, tuple(found), "head", "head", "because")
    assert advice.row is found[1]
