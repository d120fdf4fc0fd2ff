"""Corrections on their way home: what stands can be learned from as it lies there, and what does not stand is told and kept apart."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS, files_below
from PIL import Image

from edge_agent.agent import EdgeAgent
from edge_agent.cli import run
from edge_agent.corrections_folder import LEFT_OUT, LIST, STANDING
from edge_agent.errors import InputError, UsageError
from edge_agent.settings import Settings

pytestmark = pytest.mark.usefixtures("shared_backbone")


@pytest.fixture
def taught(tmp_path: Path) -> Iterator[EdgeAgent]:
    """Four corrections: one stands, one is superseded by a later word on its picture, one is taken back."""
    opened = EdgeAgent.open(ARTIFACT, tmp_path / "state", settings=Settings(views=0))
    opened.correct(PHOTOS[0], TRUTHS[0])
    opened.correct(PHOTOS[1], "frog", force=True)
    opened.correct(PHOTOS[1], TRUTHS[1], force=True)
    opened.undo(opened.correct(PHOTOS[2], TRUTHS[2], force=True).id)
    yield opened
    opened.close()


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / LIST).read_text("utf-8").splitlines()]


def test_every_correction_has_a_line_with_label_verdict_and_origin(taught: EdgeAgent, tmp_path: Path) -> None:
    done = taught.export_corrections(tmp_path / "taken", "belt 3")
    found = lines(tmp_path / "taken")
    assert [line["id"] for line in found] == [entry.id for entry in taught.history()]
    for line, entry in zip(found, taught.history(), strict=True):
        assert (line["label"], line["verdict"], line["standing"], line["made_at"]) == (
            entry.label, entry.verdict, entry.standing, entry.made_at,
        )  # fmt: skip
        assert line["schema"] == 1 and line["device"] == "belt 3" and line["artifact"] == taught.artifact.digest
        assert line["model"] == "mobilenet_v3_small" and line["edge_agent"] and line["was_label"] and line["sentinel"]["size"] == 200
    assert done.corrections == len(found) and done.pictures == len(found) and done.without_picture == ()


def test_what_stands_lies_in_the_folder_of_its_label(taught: EdgeAgent, tmp_path: Path) -> None:
    done = taught.export_corrections(tmp_path / "taken")
    found = lines(tmp_path / "taken")
    for line in found:
        content = (tmp_path / "taken" / line["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == line["sha256"]
        Image.open(io.BytesIO(content)).verify()
        assert line["stands"] == (line["standing"] in STANDING) == (not line["file"].startswith(LEFT_OUT))
        assert Path(line["file"]).parent.name == line["label"] and line["file"].endswith(".jpg")
    assert [line["standing"] for line in found] == ["acting", "superseded", "acting", "undone"]
    visible = sorted(path.name for path in (tmp_path / "taken").iterdir() if path.is_dir() and not path.name.startswith("."))
    assert visible == sorted({TRUTHS[0], TRUTHS[1]}) == sorted(done.labels) and done.used == 2


def test_the_files_are_those_that_were_corrected(taught: EdgeAgent, tmp_path: Path) -> None:
    taught.export_corrections(tmp_path / "taken")
    first = lines(tmp_path / "taken")[0]
    assert (tmp_path / "taken" / first["file"]).read_bytes() == PHOTOS[0].read_bytes()


def test_corrections_without_a_picture_are_listed_as_such(tmp_path: Path) -> None:
    agent = EdgeAgent.open(ARTIFACT, tmp_path / "state", settings=Settings(views=0, keep_pictures=False))
    agent.correct(PHOTOS[0], TRUTHS[0])
    done = agent.export_corrections(tmp_path / "taken")
    agent.close()
    line = lines(tmp_path / "taken")[0]
    assert line["file"] is None and line["sha256"] is None and line["stands"]
    assert done.without_picture == (1,) and done.pictures == done.used == 0 and done.labels == {}
    assert sorted(path.name for path in (tmp_path / "taken").iterdir()) == [LIST]


def test_a_label_that_is_no_folders_name(tmp_path: Path) -> None:
    agent = EdgeAgent.open(ARTIFACT, tmp_path / "state", settings=Settings(views=0))
    agent.correct(PHOTOS[0], "../../etc", new_label=True, force=True)
    done = agent.export_corrections(tmp_path / "taken")
    agent.close()
    line = lines(tmp_path / "taken")[0]
    assert line["label"] == "../../etc" and line["file"].startswith("%2E.%2F..%2Fetc/")
    assert (tmp_path / "taken" / line["file"]).is_file() and done.labels == {"../../etc": 1}


@pytest.mark.parametrize("there", ["file", "full", "link"])
def test_nothing_is_ever_overwritten(taught: EdgeAgent, tmp_path: Path, there: str) -> None:
    home = tmp_path / "taken"
    if there == "file":
        home.write_text("mine")
    elif there == "full":
        home.mkdir()
        (home / "mine").write_text("mine")
    else:
        home.symlink_to(tmp_path / "elsewhere")
    before = files_below(tmp_path)
    with pytest.raises(UsageError, match="exists and is not an empty directory; hint: give a new one"):
        taught.export_corrections(home)
    assert files_below(tmp_path) == before


def test_an_empty_directory_may_be_there_and_a_missing_one_is_made(taught: EdgeAgent, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    taught.export_corrections(tmp_path / "empty")
    taught.export_corrections(tmp_path / "some/where/new")
    assert len(lines(tmp_path / "empty")) == len(lines(tmp_path / "some/where/new")) == 4
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".empty")]


def test_nothing_to_export(agent: EdgeAgent, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no corrections to export"):
        agent.export_corrections(tmp_path / "taken")
    assert not (tmp_path / "taken").exists()


def test_a_place_that_cannot_be_written_leaves_nothing(taught: EdgeAgent, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        taught.export_corrections(tmp_path / "file" / "home")


def test_the_command(taught: EdgeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["--artifact", str(ARTIFACT), "--state", str(tmp_path / "state"), "corrections", "export"]
    assert run([*start, str(tmp_path / "taken"), "--device", "greenhouse", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["directory"] == str(tmp_path / "taken") and facts["corrections"] == 4 and facts["used"] == 2
    assert set(facts) == {"directory", "corrections", "pictures", "used", "labels", "without_picture"}
    assert {line["device"] for line in lines(tmp_path / "taken")} == {"greenhouse"}
    assert run([*start, str(tmp_path / "second")]) == 0
    shown = capsys.readouterr().out
    assert "4 corrections, 4 pictures, 2 of them to learn from" in shown and f"  {TRUTHS[0]}: " in shown
    assert run([*start, str(tmp_path / "taken")]) == 64
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "nothing is ever overwritten" in error and len(error.splitlines()) == 1


def test_the_command_names_what_has_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = EdgeAgent.open(ARTIFACT, tmp_path / "state", settings=Settings(views=0, keep_pictures=False))
    agent.correct(PHOTOS[0], TRUTHS[0])
    agent.close()
    assert run(["--artifact", str(ARTIFACT), "--state", str(tmp_path / "state"), "corrections", "export", str(tmp_path / "taken")]) == 0
    assert "without a picture, since the settings kept none: #1" in capsys.readouterr().out
