from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.artifact import label_fault, parse_labels
from edge_agent.errors import InputError, LabelError
from export.labels import check_count, check_labels, match_folders, read_labels


def written(folder: Path, content: bytes | str) -> Path:
    path = folder / "labels.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", ["cat\ndog\n", "cat\ndog", "cat\r\ndog\r\n", "\ufeffcat\ndog\n"])
def test_line_ends_and_marks_make_no_difference(content: str, tmp_path: Path) -> None:
    assert read_labels(written(tmp_path, content)) == ("cat", "dog")


def test_composed_and_decomposed_letters_are_the_same(tmp_path: Path) -> None:
    assert read_labels(written(tmp_path, "caf\u0065\u0301\ntea\n")) == ("caf\u00e9", "tea")
    with pytest.raises(LabelError, match="number 1"):
        read_labels(written(tmp_path, "caf\u0065\u0301\ncaf\u00e9\n"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "is empty"),
        ("cat\n\ndog\n", "line 2 is empty"),
        ("cat\ndog\n\n", "line 3 is empty"),
        ("cat\n   \n", "line 2 is empty"),
        ("cat\ndog\ncat\n", "line 3 repeats 'cat'"),
        ("cat\ndo\tg\n", "line 2 holds a control character"),
        ("cat\n dog\n", "line 2 begins or ends with a space"),
        ("cat\n" + "d" * 129, "line 2 has 129 characters"),
        ("cat\n", "expected at least 2"),
    ],
)
def test_bad_lines_are_named(content: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=found) as caught:
        read_labels(written(tmp_path, content))
    assert caught.value.hint
    assert caught.value.exit_code == 65
    assert "labels.txt" in str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not UTF-8: byte 4"):
        read_labels(written(tmp_path, b"cat\n\xff\xfe"))
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path)


def test_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.labels.FILE_LIMIT_BYTES", 5)
    with pytest.raises(InputError, match="larger than 5 bytes"):
        read_labels(written(tmp_path, "cat\ndog\n"))


def test_longest_label_is_kept() -> None:
    assert check_labels(["a" * 128, "b"], "") == ("a" * 128, "b")


def test_folders_that_are_labels() -> None:
    assert match_folders(("cat", "dog", "frog"), ("dog", "cat"), Path("photos")) == ("frog",)
    assert match_folders(("cat", "dog"), ("dog", "cat"), Path("photos")) == ()


def test_folder_that_is_no_label_names_the_nearest() -> None:
    with pytest.raises(LabelError, match=r"'forg'.*hint: nearest labels: frog"):
        match_folders(("cat", "dog", "frog"), ("cat", "forg"), Path("photos"))
    with pytest.raises(LabelError, match=r"'x1' \(and 1 more\) of photos is none of the 2 labels"):
        match_folders(("cat", "dog"), ("x1", "x2"), Path("photos"))


def test_count_must_be_that_of_the_network() -> None:
    check_count(("cat", "dog"), 2, given=True)
    with pytest.raises(LabelError, match="--labels has 2 labels, the network has 3 classes"):
        check_count(("cat", "dog"), 3, given=True)
    with pytest.raises(LabelError, match="--data has 2 folders, the network has 1000 classes; hint: give --labels FILE"):
        check_count(("cat", "dog"), 1000, given=False)


@given(st.lists(st.text(max_size=140), max_size=6))
def test_accepted_labels_can_be_stored_and_read_by_the_device(labels: list[str]) -> None:
    composed = [unicodedata.normalize("NFC", label) for label in labels]
    good = len(labels) >= 2 and len(set(composed)) == len(labels) and not any(map(label_fault, composed))
    if not good:
        with pytest.raises(LabelError):
            check_labels(labels, "label ")
    else:
        assert parse_labels("".join(f"{label}\n" for label in check_labels(labels, "label ")).encode()) == tuple(composed)
