from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.folder_names import MOST_BYTES, UNSAFE, folder_names
from edge_agent.manifest import label_fault

labels = st.text(min_size=1, max_size=128).filter(lambda text: label_fault(text) is None)


@pytest.mark.parametrize("label", ["frog", "tree frog", "Ente", "Löwe", "猫", "a.b", "x" * 100])
def test_a_fit_label_is_its_own_name(label: str) -> None:
    assert folder_names([label]) == {label: label}


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("a/b", "a%2Fb"), ("..", "%2E%2E"), (".", "%2E"), (".hidden", "%2Ehidden"), ("__x", "%5F_x"), ("-rf", "%2Drf"), ("~", "%7E"),
        ("a\\b", "a%5Cb"), ("end.", "end%2E"), ("100 %", "100 %25"), ("CON", "%43ON"), ("nul.txt", "%6Eul.txt"), ("a:b*", "a%3Ab%2A"),
    ],
)  # fmt: skip
def test_what_a_folder_may_not_be_called_is_escaped(label: str, name: str) -> None:
    assert folder_names([label]) == {label: name}


def test_labels_that_differ_in_case_alone_get_different_folders() -> None:
    names = folder_names(["Frog", "frog", "bird"])
    assert names["bird"] == "bird" and names["Frog"].casefold() != names["frog"].casefold()
    assert names["Frog"].startswith("Frog%") and names["frog"].startswith("frog%")


def test_a_long_label_is_cut_and_stays_its_own() -> None:
    one, other = "ä" * 127 + "x", "ä" * 127 + "y"
    names = folder_names([one, other])
    assert names[one] != names[other] and all(len(name.encode()) <= MOST_BYTES for name in names.values())


@given(st.lists(labels, min_size=1, max_size=6, unique=True))
def test_names_are_single_safe_and_different(chosen: list[str]) -> None:
    names = folder_names(chosen)
    assert list(names) == chosen
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names.values()}) == len(chosen)
    for name in names.values():
        assert name and not set(name) & (UNSAFE - {"%"}) and name[0] not in "._-" and name[-1] not in ". "
        assert len(Path(name).parts) == 1 and len(name.encode()) <= MOST_BYTES and os.sep not in name


@given(labels)
def test_a_name_does_not_depend_on_the_others(label: str) -> None:
    assert folder_names([label])[label] == folder_names([label, "something else entirely"])[label]
