"""What devices taught becomes training data; what they disagree on is listed and not used."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from export_samples import COLOURS, LABELS, picture, plan_for, prepared_for, silent, small_network, write_photos
from on_device import PHOTOS, TRUTHS

from edge_agent import corrections_folder
from edge_agent.agent import EdgeAgent
from edge_agent.errors import InputError
from export import cautions, cli, corrections, dataset
from export.fit import fit

OTHER = {"label": "red", "stands": True, "schema": 1, "id": 1, "device": "belt"}


def exported(root: Path, device: str, taught: list[tuple[str, int]], **changes: Any) -> Path:
    """A directory as `edge-agent corrections export` writes it: (label, seed of the picture)."""
    root.mkdir(parents=True)
    lines = []
    for number, (label, seed) in enumerate(taught, 1):
        folder = root / label
        folder.mkdir(exist_ok=True)
        picture(COLOURS.get(label, (1, 2, 3)) if seed < 1000 else (9, 9, 9), seed).save(folder / f"{number:06d}.png")
        content = (folder / f"{number:06d}.png").read_bytes()
        facts = {"schema": 1, "id": number, "label": label, "stands": True, "file": f"{label}/{number:06d}.png", "device": device}
        lines.append(json.dumps({**facts, "sha256": hashlib.sha256(content).hexdigest(), **changes}, ensure_ascii=False))
    (root / corrections.LIST).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return root


def home_of(*directories: Path) -> corrections.Home:
    return corrections.sort_out(corrections.read(directories), LABELS, len(directories))


def test_pictures_of_all_devices_are_used(tmp_path: Path) -> None:
    one = exported(tmp_path / "one", "belt 1", [("red", 1), ("blue", 2)])
    two = exported(tmp_path / "two", "belt 2", [("red", 3)])
    found = home_of(one, two)
    assert found.used == 3 and found.directories == 2 and list(found.listed()) == []
    assert {label: sorted(path.parent.parent.name for path in paths) for label, paths in found.pictures.items()} == {
        "blue": ["one"], "red": ["one", "two"],
    }  # fmt: skip


def test_the_same_picture_twice_is_used_once_and_listed(tmp_path: Path) -> None:
    one = exported(tmp_path / "one", "belt 1", [("red", 1000)])
    two = exported(tmp_path / "two", "belt 2", [("blue", 5), ("red", 1000)])
    found = home_of(one, two)
    assert found.used == 2 and found.contradictions == ()
    assert len(found.duplicates) == 1 and found.duplicates[0].endswith(": red (belt 1 #1), red (belt 2 #2)")


def test_contradictions_between_devices_are_listed_and_not_used(tmp_path: Path) -> None:
    one = exported(tmp_path / "one", "belt 1", [("red", 1000), ("red", 4)])
    two = exported(tmp_path / "two", "belt 2", [("blue", 1000)])
    found = home_of(one, two)
    assert found.used == 1 and found.duplicates == ()
    assert found.contradictions[0].endswith(": red (belt 1 #1), blue (belt 2 #1)")
    assert next(found.listed()).startswith("contradiction: ")
    assert cautions.of_corrections(found) == ["1 corrected pictures have different labels: they were not used"]


def test_labels_that_the_network_has_not_are_listed(tmp_path: Path) -> None:
    found = home_of(exported(tmp_path / "one", "belt", [("newt", 1), ("red", 2)]))
    assert found.used == 1 and found.unknown == ("newt (belt #1)",)
    assert "1 corrections have labels that the network has not (newt (belt #1))" in cautions.of_corrections(found)[0]


def test_what_does_not_stand_is_not_used(tmp_path: Path) -> None:
    assert home_of(exported(tmp_path / "one", "belt", [("red", 1)], stands=False)).used == 0


def test_corrections_without_a_picture_are_listed(tmp_path: Path) -> None:
    found = home_of(exported(tmp_path / "one", "belt", [("red", 1)], file=None, sha256=None))
    assert found.used == 0 and found.without_picture == ("red (belt #1)",)
    assert list(found.listed()) == ["without picture: red (belt #1)"]


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_picture_that_is_not_what_was_exported_is_not_used(tmp_path: Path, damage: str) -> None:
    one = exported(tmp_path / "one", "belt", [("red", 1), ("red", 2)])
    victim = one / "red/000001.png"
    victim.unlink() if damage == "gone" else victim.write_bytes(victim.read_bytes() + b"x")
    found = home_of(one)
    assert found.used == 1 and found.damaged == ("red (belt #1)",)
    assert "missing or changed" in cautions.of_corrections(found)[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not json\n", "line 1: not JSON"),
        (b"\xff\xfe\n", "line 1: not JSON"),
        (b"[]\n", "not a correction of schema 1"),
        (json.dumps({**OTHER, "schema": 2}).encode(), "not a correction of schema 1"),
        (json.dumps({**OTHER, "label": ""}).encode(), "label is ''"),
        (json.dumps({**OTHER, "label": 3}).encode(), "label is '3'"),
        (json.dumps({**OTHER, "stands": "yes"}).encode(), "stands is 'yes'"),
        (json.dumps({**OTHER, "file": "a.png"}).encode(), "not a file's name and a digest"),
        (json.dumps({**OTHER, "file": "../a.png", "sha256": "0" * 64}).encode(), "lies outside of the directory"),
        (json.dumps({**OTHER, "file": "/etc/passwd", "sha256": "0" * 64}).encode(), "lies outside of the directory"),
        (json.dumps({**OTHER, "file": "a\\..\\b", "sha256": "0" * 64}).encode(), "lies outside of the directory"),
        (b"[" * 100_000, "line 1: not JSON"),
    ],
)
def test_a_list_that_is_not_understood(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / corrections.LIST).write_bytes(content)
    with pytest.raises(InputError) as caught:
        corrections.read([tmp_path])
    assert words in str(caught.value) and "hint: give --corrections a directory" in str(caught.value)


def test_a_directory_without_a_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corrections.jsonl cannot be read: No such file"):
        corrections.read([tmp_path])


def test_empty_lines_are_nothing(tmp_path: Path) -> None:
    (tmp_path / corrections.LIST).write_bytes(b"\n\n")
    assert corrections.read([tmp_path]) == []


def test_a_label_without_a_folder_gets_one(photos: Path, tmp_path: Path) -> None:
    home = home_of(exported(tmp_path / "one", "belt", [("red", 1)]))
    folders = [folder for folder in dataset.scan(photos) if folder.name != "red"]
    merged = corrections.with_corrections(folders, home)
    assert [folder.name for folder in merged] == sorted(LABELS)
    assert len(next(folder for folder in merged if folder.name == "red").files) == 1


def test_the_limit_leaves_others_out_first(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "data", 20)
    home = home_of(exported(tmp_path / "one", "belt", [("red", seed) for seed in range(900, 904)]))
    folders = corrections.with_corrections(dataset.scan(root), home)
    chosen = dataset.split(folders, LABELS, 30, silent, home.paths)
    used = {picture.path for picture in (*chosen.sentinel, *chosen.statistics)}
    assert home.paths <= used and len(used) == 30


def test_they_become_statistics(photos: Path, tmp_path: Path) -> None:
    home = home_of(exported(tmp_path / "one", "belt", [("red", 800), ("blue", 801)]))
    prepared = prepared_for(photos, small_network())
    prepared = dataclasses.replace(prepared, folders=corrections.with_corrections(prepared.folders, home), home=home)
    found = fit(plan_for(photos, tmp_path / "out"), prepared, silent)
    seen = {picture.path for picture in (*found.measured.pictures, *found.sentinel)}
    assert home.paths <= seen and len(seen) == 50


def test_what_the_device_writes_is_what_the_workstation_reads(agent: EdgeAgent, tmp_path: Path) -> None:
    agent.correct(PHOTOS[0], TRUTHS[0])
    agent.correct(PHOTOS[1], "a/new one", new_label=True, force=True)
    agent.undo(agent.correct(PHOTOS[2], TRUTHS[2], force=True).id)
    agent.export_corrections(tmp_path / "belt", "belt 1")
    found = corrections.sort_out(corrections.read([tmp_path / "belt"]), agent.artifact.labels, 1)
    assert found.pictures.keys() == {TRUTHS[0]} and found.unknown == ("a/new one (belt 1 #2)",)
    assert next(iter(found.paths)).read_bytes() == PHOTOS[0].read_bytes()
    assert found.damaged == found.contradictions == found.duplicates == found.without_picture == ()
    assert corrections.LIST == corrections_folder.LIST and corrections.SCHEMA == corrections_folder.SCHEMA


def test_the_command_line_lists_them(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = exported(tmp_path / "one", "belt 1", [("red", 1000), ("red", 7)])
    two = exported(tmp_path / "two", "belt 2", [("blue", 1000), ("red", 7)])
    arguments = ["build", "--model", "squeezenet1_1", "--weights", "none", "--data", photos, "--output", tmp_path / "out"]
    more = ["--input-size", 32, "--corrections", one, "--corrections", two, "--json"]
    assert cli.run([str(argument) for argument in (*arguments, *more)]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)["corrections"]
    assert facts["directories"] == 2 and facts["used"] == 1 and len(facts["contradictions"]) == len(facts["duplicates"]) == 1
    lines = captured.err.splitlines()
    assert any(line.startswith("contradiction: ") and "belt 1 #1" in line for line in lines)
    assert any(line.startswith("duplicate: ") and "belt 2 #2" in line for line in lines)
    warnings = json.loads((tmp_path / "out/manifest.json").read_text())["statistics"]["warnings"]
    assert "1 corrected pictures have different labels: they were not used" in warnings


def test_a_wrong_directory_is_refused_before_anything_is_read(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build", "--model", "squeezenet1_1", "--weights", "none", "--data", photos, "--output", tmp_path / "out"]
    assert cli.run([str(argument) for argument in (*arguments, "--corrections", tmp_path / "nothing")]) == 65
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "nothing: corrections.jsonl cannot be read" in error
