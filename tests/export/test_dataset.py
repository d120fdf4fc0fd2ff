from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from export_samples import LABELS, SPEC, picture, silent, write_photos
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits, open_picture, to_tensor
from edge_agent.manifest import ImageSpec
from export import dataset
from export.dataset import LabelFolder, Picture, Unreadable, batch_size, batches, scan, split

LIMITS = ImageLimits()


def made_up(counts: dict[str, int], root: Path) -> tuple[LabelFolder, ...]:
    """Folders of tiny files with different bytes; nothing decodes them."""
    folders = []
    for label, count in counts.items():
        (root / label).mkdir(parents=True, exist_ok=True)
        paths = []
        for number in range(count):
            path = root / label / f"{number:04d}.png"
            path.write_bytes(f"{label} {number}".encode())
            paths.append(path)
        folders.append(LabelFolder(label, tuple(paths)))
    return tuple(folders)


class TestScan:
    def test_folders_are_sorted_labels(self, photos: Path) -> None:
        folders = scan(photos)
        assert tuple(folder.name for folder in folders) == LABELS
        assert [len(folder.files) for folder in folders] == [12] * 4

    def test_nested_hidden_and_foreign_files(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path / "data", 2, ("blue", "red"))
        (root / "red" / "more" / "deeper").mkdir(parents=True)
        shutil.copy(root / "red/000.png", root / "red/more/deeper/x.PNG")
        for name in (".ipynb_checkpoints", "__MACOSX", "empty"):
            (root / name).mkdir()
        shutil.copy(root / "red/000.png", root / "__MACOSX/y.png")
        (root / "red" / "._000.png").write_bytes(b"AppleDouble")
        (root / "red" / "notes.txt").write_text("not a picture")
        (root / "README.md").write_text("not a folder")
        folders = scan(root)
        assert [(folder.name, len(folder.files)) for folder in folders] == [("blue", 2), ("red", 3)]

    def test_linked_folders_are_followed(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path / "data", 2, ("blue", "red"))
        (root / "green").symlink_to(root / "blue")
        assert [folder.name for folder in scan(root)] == ["blue", "green", "red"]

    def test_names_are_composed(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path / "data", 1, ("caf\u0065\u0301", "tea"))
        assert scan(root)[0].name == "caf\u00e9"

    @pytest.mark.parametrize("found", ["missing", "file", "empty", "loose", "one", "parent"])
    def test_what_cannot_be_data(self, found: str, tmp_path: Path) -> None:
        root = tmp_path / "data"
        if found == "file":
            root.write_text("x")
        elif found != "missing":
            root.mkdir()
        if found == "loose":
            picture((1, 2, 3), 0).save(root / "a.jpg")
        if found == "one":
            write_photos(root / ".", 2, ("red",))
        if found == "parent":
            write_photos(root / "train", 1)
            write_photos(root / "test", 1)
        expected = {
            "missing": "No such file",
            "file": "Not a directory",
            "empty": "no pictures",
            "loose": "1 pictures in no folder",
            "one": "one label only: 'red'",
            "parent": "holds test, train; hint: give one of them: --data .*test",
        }[found]
        with pytest.raises(InputError, match=expected) as caught:
            scan(root)
        assert caught.value.hint


class TestSplit:
    def test_sentinel_and_statistics_share_nothing_and_use_everything(self, photos: Path) -> None:
        found = split(scan(photos), LABELS, 5000, silent)
        assert found.held_out
        assert Counter(p.label for p in found.sentinel) == dict.fromkeys(range(4), 4)
        assert Counter(p.label for p in found.statistics) == dict.fromkeys(range(4), 8)
        assert not {p.digest for p in found.sentinel} & {p.digest for p in found.statistics}
        assert found.unreadable == () and found.contradicted == 0

    def test_twenty_of_each_label_are_enough(self, tmp_path: Path) -> None:
        found = split(made_up({"a": 200, "b": 70, "c": 30}, tmp_path), ("a", "b", "c"), 5000, silent)
        assert Counter(p.label for p in found.sentinel) == {0: 20, 1: 20, 2: 10}
        assert len(found.statistics) == 300 - 50

    def test_many_labels_share_five_hundred(self, tmp_path: Path) -> None:
        labels = tuple(f"l{number:03d}" for number in range(120))
        found = split(made_up(dict.fromkeys(labels, 16), tmp_path), labels, 5000, silent)
        assert len(found.sentinel) == 500
        per_label = Counter(p.label for p in found.sentinel)
        assert set(per_label.values()) == {4, 5} and len(per_label) == 120

    def test_limit_is_kept_and_spread(self, tmp_path: Path) -> None:
        found = split(made_up({"a": 100, "b": 100, "c": 12}, tmp_path), ("a", "b", "c"), 90, silent)
        assert len(found.sentinel) + len(found.statistics) == 90
        assert len(found.sentinel) == 30
        everything = Counter(p.label for p in (*found.sentinel, *found.statistics))
        assert everything[2] == 12, "a rare label is used whole"
        assert abs(everything[0] - everything[1]) <= 2

    def test_single_picture_serves_as_both(self, tmp_path: Path) -> None:
        found = split(made_up({"a": 9, "b": 1}, tmp_path), ("a", "b"), 5000, silent)
        assert not found.held_out
        assert [p.label for p in found.sentinel].count(1) == 1
        assert [p.label for p in found.statistics].count(1) == 1

    def test_names_and_folders_depth_change_nothing(self, tmp_path: Path) -> None:
        first = write_photos(tmp_path / "first", 9)
        second = tmp_path / "second"
        rng = np.random.default_rng(0)
        for label in LABELS:
            (second / label / "deep").mkdir(parents=True)
            for path in (first / label).iterdir():
                shutil.copy(path, second / label / ("deep" if rng.integers(2) else ".") / f"{rng.integers(10**9)}.png")
        one, two = (split(scan(root), LABELS, 30, silent) for root in (first, second))
        for a, b in ((one.sentinel, two.sentinel), (one.statistics, two.statistics)):
            assert [(p.label, p.digest) for p in a] == [(p.label, p.digest) for p in b]

    def test_the_same_bytes_count_once_and_in_two_folders_contradict(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path / "data", 6)
        shutil.copy(root / "red/000.png", root / "red/again.png")
        shutil.copy(root / "red/001.png", root / "blue/wrong.png")
        found = split(scan(root), LABELS, 5000, silent)
        everything = (*found.sentinel, *found.statistics)
        assert len(everything) == 6 * 4 + 1
        assert found.contradicted == 1

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_forbidden_file_is_counted(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path / "data", 4)
        (root / "red/000.png").chmod(0)
        assert [str(u) for u in split(scan(root), LABELS, 5000, silent).unreadable] == ["red/000.png: Permission denied"]

    def test_vanished_files(self, tmp_path: Path) -> None:
        root = write_photos(tmp_path / "data", 2, ("blue", "red"))
        folders = scan(root)
        (root / "red/000.png").unlink()
        assert len(split(folders, ("blue", "red"), 50, silent).unreadable) == 1
        shutil.rmtree(root)
        with pytest.raises(InputError, match="none of the 4 pictures"):
            split(folders, ("blue", "red"), 50, silent)

    def test_progress_counts_files(self, photos: Path) -> None:
        seen: list[tuple[str, int, int]] = []
        split(scan(photos), LABELS, 5000, lambda *call: seen.append(call))
        assert seen[-1] == ("reading pictures", 48, 48)

    @settings(max_examples=40)
    @given(st.lists(st.integers(1, 90), min_size=2, max_size=12), st.integers(4, 400))
    def test_laws(self, counts: list[int], limit: int) -> None:
        classes = [[Picture(Path(f"{c}/{n}"), c, f"{c:03d}{n * 7919 % 10007:05d}") for n in range(count)] for c, count in enumerate(counts)]
        classes = [sorted(pictures, key=lambda p: p.digest) for pictures in classes]
        sentinel, statistics, held_out = dataset._divide(classes, limit)
        assert 1 <= len(sentinel) <= min(500, max(1, limit // 3))
        assert statistics and len(sentinel) + len(statistics) <= max(limit, 2)
        assert max(Counter(p.label for p in sentinel).values()) <= 20
        shared = {p.digest for p in sentinel} & {p.digest for p in statistics}
        assert not shared or not held_out
        assert list(sentinel) == sorted(sentinel, key=lambda p: p.label)


class TestBatches:
    def test_order_and_content(self, photos: Path) -> None:
        chosen = split(scan(photos), LABELS, 5000, silent).statistics
        parts = list(batches(chosen, SPEC, LIMITS, 5))
        assert [len(good) for good, _, _ in parts] == [5] * 6 + [2]
        assert [p for good, _, _ in parts for p in good] == list(chosen)
        tensor = np.concatenate([part for _, part, _ in parts])
        assert tensor.dtype == np.float32 and tensor.shape == (32, 3, 32, 32)
        expected = to_tensor(open_picture(chosen[7].path, LIMITS), SPEC)
        assert np.array_equal(tensor[7], expected)

    def test_unreadable_pictures_are_told(self, tmp_path: Path) -> None:
        root = tmp_path / "a folder"
        root.mkdir()
        picture((9, 9, 9), 0).save(root / "good one.png")
        (root / "empty.png").write_bytes(b"")
        (root / "text.jpg").write_text("hello")
        whole = (root / "good one.png").read_bytes()
        (root / "cut.png").write_bytes(whole[: len(whole) // 2])
        pictures = [Picture(path, 0, path.name) for path in sorted(root.iterdir())]
        ((good, tensor, bad),) = batches(pictures, SPEC, LIMITS, 8)
        assert [p.path.name for p in good] == ["good one.png"] and tensor.shape == (1, 3, 32, 32)
        lines = [str(u) for u in bad]
        assert [line.split(": ")[0] for line in lines] == ["a folder/cut.png", "a folder/empty.png", "a folder/text.jpg"]
        assert str(tmp_path) not in "".join(lines)

    def test_batch_without_a_readable_picture(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_bytes(b"no")
        ((good, tensor, bad),) = batches([Picture(tmp_path / "x.png", 0, "x")], SPEC, LIMITS, 4)
        assert not good and len(bad) == 1 and tensor.shape == (0, 3, 32, 32)

    def test_nothing_gives_nothing(self) -> None:
        assert list(batches([], SPEC, LIMITS, 4)) == []

    def test_pictures_over_the_limit_are_unreadable(self, tmp_path: Path) -> None:
        Image.new("L", (200, 200)).save(tmp_path / "large.png")
        ((good, _, bad),) = batches([Picture(tmp_path / "large.png", 0, "x")], SPEC, ImageLimits(pixels=1000), 4)
        assert not good and "200×200 pixels" in str(bad[0])

    def test_grey_pictures_become_three_channels(self, tmp_path: Path) -> None:
        Image.new("L", (50, 40), 77).save(tmp_path / "grey.png")
        ((good, tensor, _),) = batches([Picture(tmp_path / "grey.png", 0, "x")], SPEC, LIMITS, 4)
        assert len(good) == 1 and tensor.shape == (1, 3, 32, 32)

    def test_batches_shrink_with_the_picture(self) -> None:
        sizes = [batch_size(ImageSpec((side, side), side, "bilinear", SPEC.mean, SPEC.std)) for side in (32, 224, 448, 4096)]
        assert sizes == [64, 8, 2, 1]


def test_names_that_a_terminal_cannot_show() -> None:
    odd = Unreadable(Path("/home/me/photos/cat/a\x1b[31m\udcff.png"), "broken\n at byte 7")
    assert odd.name == "cat/a?[31m?.png"
    assert str(odd) == "cat/a?[31m?.png: broken  at byte 7"
