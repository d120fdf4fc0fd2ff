from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import LabelError
from edge_agent.label_rules import check_label, check_new_label

LABELS = ("airplane", "Frog", "tree frog", "horse", "ship", "truck")


@pytest.mark.parametrize("label", LABELS)
def test_label_that_is_there_is_fine(label: str) -> None:
    check_label(label, LABELS, 0, False)
    check_label(label, LABELS, 0, True)


@pytest.mark.parametrize(
    "label, near",
    [("frog", "Frog, tree frog"), ("FROG", "Frog, tree frog"), ("horze", "horse"), ("treefrog", "tree frog, Frog"), ("shp", "ship")],
)
def test_near_ones_are_named(label: str, near: str) -> None:
    with pytest.raises(LabelError, match=f"label '{label}' is not one of the 6 labels: near ones are {near}") as caught:
        check_label(label, LABELS, 1, False)
    assert caught.value.hint == "to add it as a class: --new-label"
    assert caught.value.exit_code == 65


@pytest.mark.parametrize("label", [None, 3, 1.5, float("nan"), b"frog", ["Frog"], True, object()])
def test_what_is_no_text_is_no_label(label: Any) -> None:
    for new_label in (False, True):
        with pytest.raises(LabelError, match="expected text"):
            check_label(label, LABELS, 3, new_label)
    with pytest.raises(LabelError, match="expected text"):
        check_new_label(label, LABELS, 3)


def test_without_near_ones_the_labels_are_named() -> None:
    with pytest.raises(LabelError, match="the labels are airplane, Frog, tree frog, horse, ship, truck;"):
        check_label("xyz", LABELS, 1, False)
    many = tuple(f"label {n}" for n in range(1000))
    with pytest.raises(LabelError, match="label 11, …"):
        check_label("Möwe", many, 1, False)


@pytest.mark.parametrize("label", ["", " ", "frog ", " frog", "a\nb", "a\x00", "q" * 129, "\u202efrog"])
def test_text_that_no_label_can_have(label: str) -> None:
    for new_label in (False, True):
        with pytest.raises(LabelError, match="1 to 128 printable characters"):
            check_label(label, LABELS, 1, new_label)
    with pytest.raises(LabelError):
        check_new_label(label, LABELS, 1)


def test_new_label() -> None:
    check_label("newt", LABELS, 1, True)
    check_new_label("newt", LABELS, 1)
    check_new_label("frog", LABELS, 1)  # upper and lower case are different labels
    check_new_label("蛙", LABELS, 1)
    with pytest.raises(LabelError, match="'Frog' exists already"):
        check_new_label("Frog", LABELS, 1)
    for call in (lambda: check_new_label("newt", LABELS, 0), lambda: check_label("newt", LABELS, 0, True)):
        with pytest.raises(LabelError, match=f"all spare classes of the artifact are used, {len(LABELS)} labels are its most"):
            call()


@given(label=st.text(max_size=200), labels=st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=5), spare=st.integers(0, 2))
def test_any_text_is_taken_or_refused_in_one_line(label: str, labels: list[str], spare: int) -> None:
    for new_label in (False, True):
        try:
            check_label(label, labels, spare, new_label)
        except LabelError as error:
            assert "\n" not in str(error)
            assert error.hint
        else:
            assert label in labels or (new_label and spare and label.isprintable() and label == label.strip() and 0 < len(label) <= 128)
