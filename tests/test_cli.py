"""`edge-agent`: the keys of every answer, the exit codes, and one line for whatever is wrong."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import onnxruntime
import pytest
from on_device import ARTIFACT, PHOTOS, ROOT, TRUTHS, files_below
from PIL import Image

from edge_agent import cli as module
from edge_agent.agent import EdgeAgent
from edge_agent.cli import cli, run
from edge_agent.journal import Writer
from edge_agent.manifest import Manifest

PHOTO, TRUTH = str(PHOTOS[0]), TRUTHS[0]
RANKED = {"label", "probability"}
COMMANDS = ("info", "labels", "predict", "correct", "undo", "history", "reset", "export-onnx")

pytestmark = pytest.mark.usefixtures("shared_backbone")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def ask(state: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command on the default artifact and a state of this test's own."""

    def command(*arguments: str, artifact: Path | str = ARTIFACT, code: int | None = 0) -> Answer:
        capfd.readouterr()
        status = run(["--artifact", str(artifact), "--state", str(state), *arguments])
        out, err = capfd.readouterr()
        assert code is None or status == code, err
        assert (err == "") == (status in (0, 4)), err
        return Answer(status, out, err)

    return command


Ask = Callable[..., Answer]


def one_line(answer: Answer) -> str:
    """The error: one line with a hint, nothing on stdout, no traceback."""
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert "; hint: " in answer.err
    assert "Traceback" not in answer.err
    return answer.err


class TestJson:
    def test_predict(self, ask: Ask, state: Path) -> None:
        found = ask("predict", PHOTO, "--json").json
        assert set(found) == {"image", "label", "probability", "top", "sample_id", "generation", "elapsed_ms"}
        assert found["image"] == PHOTO
        top = found["top"]
        assert isinstance(top, list)
        assert [set(ranked) for ranked in top] == [RANKED] * 5
        assert (top[0]["label"], top[0]["probability"]) == (found["label"], found["probability"])
        assert found["generation"] == 0
        assert not state.exists()

    def test_predict_many(self, ask: Ask) -> None:
        lines = ask("predict", *map(str, PHOTOS), "--top", "2", "--json").out.splitlines()
        assert [json.loads(line)["image"] for line in lines] == list(map(str, PHOTOS))
        assert {len(json.loads(line)["top"]) for line in lines} == {2}

    def test_correct(self, ask: Ask) -> None:
        found = ask("correct", PHOTO, "--label", TRUTH, "--json").json
        keys = {"id", "image", "label", "verdict", "reason", "was", "now", "steps", "sentinel", "generation", "elapsed_ms"}
        assert keys <= set(found)
        assert (found["id"], found["image"], found["label"], found["verdict"]) == (1, PHOTO, TRUTH, "accepted")
        assert set(found["was"]) == set(found["now"]) == RANKED  # type: ignore[call-overload]
        assert {"size", "before", "after", "tolerance"} <= set(found["sentinel"])  # type: ignore[call-overload]

    def test_correct_what_is_right(self, ask: Ask, state: Path, factory: EdgeAgent) -> None:
        found = ask("correct", PHOTO, "--label", factory.predict(PHOTO).label, "--json").json
        assert (found["id"], found["verdict"], found["steps"]) == (None, "already_correct", 0)
        assert not state.exists()
        forced = ask("correct", PHOTO, "--label", factory.predict(PHOTO).label, "--force", "--json").json
        assert (forced["id"], forced["verdict"]) == (1, "already_correct")

    def test_refused_exits_with_4(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        from edge_agent.guard import Guard

        real = Guard.judge
        monkeypatch.setattr(Guard, "judge", lambda *a, **k: replace(real(*a, **k), accepted=False, reason="it would break 3 of 200"))
        found = ask("correct", PHOTO, "--label", TRUTH, "--json", code=4).json
        assert (found["id"], found["verdict"], found["reason"], found["generation"]) == (1, "refused", "it would break 3 of 200", 0)
        assert "refused" in ask("correct", PHOTO, "--label", TRUTH, code=4).out
        assert ask("correct", PHOTO, "--label", TRUTH, "--dry-run", "--json", code=4).json["id"] is None
        assert ask("correct", PHOTO, "--label", TRUTH, "--force", "--json").json["verdict"] == "accepted"

    def test_dry_run_changes_nothing(self, ask: Ask, state: Path) -> None:
        found = ask("correct", PHOTO, "--label", "newt", "--new-label", "--dry-run", "--json").json
        assert (found["id"], found["verdict"], found["generation"]) == (None, "accepted", 0)
        assert not state.exists()

    def test_undo_history_reset(self, ask: Ask) -> None:
        for photo, truth in zip(PHOTOS[:3], TRUTHS, strict=False):
            ask("correct", str(photo), "--label", truth, "--json")
        last = ask("undo", "--json").json
        assert set(last) == {"ids", "generation", "active", "head_sha256"}
        assert (last["ids"], last["active"]) == ([3], 2)
        assert ask("undo", "1", "--json").json["ids"] == [1]
        lines = [json.loads(line) for line in ask("history", "--json").out.splitlines()]
        assert [line["id"] for line in lines] == [1, 2, 3]
        assert [line["label"] for line in lines] == list(TRUTHS[:3])
        assert [line["active"] for line in lines] == [False, True, False]
        assert {"made_at", "image", "sample_id", "verdict", "reason", "forced", "steps", "sentinel", "undone_at"} <= set(lines[0])
        reset = ask("reset", "--json").json
        assert (reset["ids"], reset["active"]) == ([2], 0)
        assert len(ask("history", "--json").out.splitlines()) == 3

    def test_history_of_nothing_is_no_line(self, ask: Ask) -> None:
        assert ask("history", "--json").out == ""
        assert ask("history").out == "no corrections yet\n"

    def test_labels(self, ask: Ask, factory: EdgeAgent) -> None:
        found = ask("labels", "--json").json
        assert found == {"labels": list(factory.labels), "added": [], "spare_classes": 16}
        assert ask("labels", "add", "Möwe", "--json").json == {"label": "Möwe", "spare_classes": 15}
        assert ask("labels", "--json", "add", "newt").json == {"label": "newt", "spare_classes": 14}
        assert ask("labels", "--json").json == {"labels": [*factory.labels, "Möwe", "newt"], "added": ["Möwe", "newt"], "spare_classes": 14}
        assert ask("labels").out.splitlines() == [*factory.labels, "Möwe", "newt"]

    def test_info(self, ask: Ask, state: Path) -> None:
        found = ask("info", "--json").json
        for key in ("artifact", "artifact_sha256", "model", "onnxruntime", "provider", "engine", "engine_reason", "state"):
            assert isinstance(found[key], str)
        assert (found["labels"], found["corrections"], found["generation"], found["image_px"]) == (10, 0, 0, [64, 64])
        assert found["state"] == str(state)
        text = ask("info").out
        assert all(line.split()[0] in found for line in text.splitlines())

    def test_export_onnx(self, ask: Ask, tmp_path: Path) -> None:
        ask("correct", PHOTO, "--label", TRUTH)
        target = tmp_path / "corrected.onnx"
        found = ask("export-onnx", str(target), "--json").json
        assert set(found) == {"file", "bytes", "max_difference"}
        assert (found["file"], found["bytes"]) == (str(target), target.stat().st_size)
        assert isinstance(found["max_difference"], float)
        assert found["max_difference"] <= 1e-4
        session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        assert [value.name for value in session.get_inputs()] == ["image"]
        assert [value.name for value in session.get_outputs()] == ["logits"]
        assert "its logits differ" in ask("export-onnx", str(target)).out

    def test_text_of_the_world(self, ask: Ask, tmp_path: Path) -> None:
        path = tmp_path / "Möwe 🐸 [bold].jpg"
        shutil.copy(PHOTO, path)
        answer = ask("correct", str(path), "--label", "蛙", "--new-label", "--json")
        assert (answer.json["image"], answer.json["label"]) == (str(path), "蛙")
        assert "\\u" not in answer.out
        assert str(path) in ask("predict", str(path)).out


class TestPictures:
    def test_stdin(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = ask("predict", PHOTO, "--json").json
        for command in (("predict", "-"), ("correct", "-", "--label", TRUTH, "--dry-run")):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PHOTOS[0].read_bytes())))
            found = ask(*command, "--json").json
            assert found["image"] == "stdin"
            if command[0] == "predict":
                assert found["top"] == expected["top"]
                assert found["sample_id"] == expected["sample_id"]

    def test_stdin_is_read_no_further_than_the_limit(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDGE_AGENT_MAX_FILE_BYTES", "1000")
        endless = io.BytesIO(b"\xff\xd8" + bytes(100_000))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(endless))
        assert "stdin has 1001 bytes, expected 1 to 1000" in one_line(ask("predict", "-", code=65))
        assert endless.tell() <= 20_000, "not read to the end"

    def test_directories(self, ask: Ask, tmp_path: Path) -> None:
        lines = ask("predict", str(ROOT / "artifacts" / "field"), "--json").out.splitlines()
        assert [json.loads(line)["image"] for line in lines] == sorted(map(str, PHOTOS))

    def test_one_bad_picture_does_not_stop_the_others(self, ask: Ask, tmp_path: Path) -> None:
        answer = ask("predict", PHOTO, str(tmp_path / "missing.jpg"), str(PHOTOS[1]), "--json", code=65)
        assert [json.loads(line)["image"] for line in answer.out.splitlines()] == [PHOTO, str(PHOTOS[1])]
        assert answer.err.count("\n") == 1
        assert "no such file" in answer.err

    @pytest.mark.parametrize("kind, mode", [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("BMP", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
    def test_formats_and_modes(self, kind: str, mode: str, ask: Ask, tmp_path: Path) -> None:
        with Image.open(PHOTO) as image:
            image.convert(mode).save(tmp_path / "picture", kind)
        assert ask("predict", str(tmp_path / "picture"), "--json").json["label"]


def no_such_file(folder: Path) -> str:
    return str(folder / "missing.jpg")


def empty_directory(folder: Path) -> str:
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "empty" / "notes.txt").write_text("no picture")
    return str(folder / "empty")


def text_file(folder: Path) -> str:
    (folder / "text.jpg").write_text("I am not a picture\n" * 50)
    return str(folder / "text.jpg")


def truncated(folder: Path) -> str:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(folder / "truncated.jpg")
    os.truncate(folder / "truncated.jpg", (folder / "truncated.jpg").stat().st_size // 2)
    return str(folder / "truncated.jpg")


def zero_bytes(folder: Path) -> str:
    (folder / "zero.jpg").touch()
    return str(folder / "zero.jpg")


def too_many_pixels(folder: Path) -> str:
    Image.new("1", (8000, 7000)).save(folder / "large.png")
    return str(folder / "large.png")


def named_pipe(folder: Path) -> str:
    if not (folder / "pipe.jpg").exists():
        os.mkfifo(folder / "pipe.jpg")
    return str(folder / "pipe.jpg")


def nul(folder: Path) -> str:
    return str(folder / "a\0b.jpg")


BAD_PICTURES = {
    no_such_file: "missing.jpg: no such file",
    empty_directory: "",
    text_file: "text.jpg cannot be read: not a JPEG, PNG, BMP or WebP picture",
    truncated: "truncated.jpg is damaged",
    zero_bytes: "zero.jpg is empty (0 bytes)",
    too_many_pixels: "large.png has 8000×7000 pixels, the limit is 50000000",
    named_pipe: "pipe.jpg is not a regular file",
    nul: "cannot be read",
}


class TestBadInput:
    @pytest.fixture(autouse=True)
    def _taught(self, ask: Ask) -> None:
        ask("correct", PHOTO, "--label", TRUTH)

    @pytest.mark.parametrize("make", BAD_PICTURES, ids=lambda make: make.__name__)
    def test_picture(self, make: Callable[[Path], str], ask: Ask, state: Path, tmp_path: Path) -> None:
        path, before = make(tmp_path), files_below(state)
        assert BAD_PICTURES[make] in one_line(ask("predict", path, code=65))
        assert BAD_PICTURES[make] in one_line(ask("correct", path, "--label", "frog", code=65))
        assert BAD_PICTURES[make] in one_line(ask("correct", path, "--label", "newt", "--new-label", "--force", code=65))
        assert files_below(state) == before

    @pytest.mark.parametrize("label, words", [("forg", "near ones are frog"), ("", "is empty"), ("a\tb", "control character")])
    def test_label(self, label: str, words: str, ask: Ask, state: Path) -> None:
        before = files_below(state)
        for extra in ((), ("--dry-run",), ("--force",)):
            assert words in one_line(ask("correct", str(PHOTOS[1]), "--label", label, *extra, code=65))
        assert files_below(state) == before

    def test_label_to_add(self, ask: Ask, state: Path) -> None:
        before = files_below(state)
        for name in ("frog", "", "x" * 200):
            one_line(ask("labels", "add", name, code=65))
        assert files_below(state) == before

    @pytest.mark.parametrize("arguments", [("undo", "7"), ("undo", "0")])
    def test_undo(self, arguments: tuple[str, ...], ask: Ask, state: Path) -> None:
        before = files_below(state)
        assert "does not exist" in one_line(ask(*arguments, code=65))
        assert files_below(state) == before

    def test_undo_and_reset_of_nothing(self, ask: Ask, state: Path) -> None:
        ask("reset")
        before = files_below(state)
        assert "nothing to undo" in one_line(ask("undo", code=65))
        assert "nothing to reset" in one_line(ask("reset", code=65))
        assert "was undone before" in one_line(ask("undo", "1", code=65))
        assert files_below(state) == before

    def test_artifact_that_is_missing_or_foreign(self, ask: Ask, state: Path, tmp_path: Path) -> None:
        before, foreign = files_below(state), tmp_path / "foreign"
        foreign.mkdir()
        (foreign / "manifest.json").write_text('{"name": "an app"}')
        for command in (("predict", PHOTO), ("correct", PHOTO, "--label", TRUTH), ("undo",), ("history",), ("info",)):
            assert "no artifact at" in one_line(ask(*command, artifact=tmp_path / "nowhere", code=66))
            assert 'no "format"' in one_line(ask(*command, artifact=foreign, code=66))
        assert files_below(state) == before

    @pytest.mark.parametrize("name", ["backbone.onnx", "labels.txt", "statistics.safetensors", "manifest.json"])
    def test_artifact_that_was_changed_by_a_byte(self, name: str, ask: Ask, state: Path, tmp_path: Path) -> None:
        before, copy = files_below(state), tmp_path / "copy"
        shutil.copytree(ARTIFACT, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        error = one_line(ask("predict", PHOTO, artifact=copy, code=66))
        assert name in error
        assert files_below(state) == before

    def test_state_of_another_artifact(self, ask: Ask, state: Path, tmp_path: Path) -> None:
        before, copy = files_below(state), tmp_path / "copy"
        shutil.copytree(ARTIFACT, copy)
        manifest = Manifest.from_bytes((copy / "manifest.json").read_bytes())
        object.__setattr__(manifest, "temperature", manifest.temperature + 1)
        (copy / "manifest.json").write_bytes(manifest.to_bytes())
        for command in (("predict", PHOTO), ("correct", PHOTO, "--label", TRUTH), ("labels", "add", "newt"), ("undo",), ("history",)):
            assert "is of another artifact" in one_line(ask(*command, artifact=copy, code=73))
        assert files_below(state) == before

    def test_state_that_cannot_be_written_still_predicts(self, ask: Ask, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ask("undo")
        before = files_below(state)
        import sqlite3

        from edge_agent import journal as journal_module

        def refuse(folder: Path, wait_ms: int) -> sqlite3.Connection:
            from edge_agent.journal_file import unwritable

            raise unwritable(folder, "attempt to write a readonly database")

        monkeypatch.setattr(journal_module, "open_for_writing", refuse)
        assert ask("predict", PHOTO, "--json").json["generation"] == 2
        error = one_line(ask("correct", PHOTO, "--label", TRUTH, code=73))
        assert "cannot be written" in error
        assert "predictions go on" in error
        assert files_below(state) == before

    def test_state_that_is_a_file(self, ask: Ask, state: Path) -> None:
        shutil.rmtree(state)
        state.write_text("mine")
        assert ask("predict", PHOTO, "--json").json["generation"] == 0
        assert "cannot be written" in one_line(ask("correct", PHOTO, "--label", TRUTH, code=73))
        assert state.read_text() == "mine"

    def test_state_with_another_database(self, ask: Ask, state: Path) -> None:
        shutil.rmtree(state)
        state.mkdir()
        (state / "journal.sqlite3").write_text("my shopping list")
        for command in (("predict", PHOTO), ("correct", PHOTO, "--label", TRUTH), ("history",)):
            assert "file is not a database" in one_line(ask(*command, code=73))
        assert (state / "journal.sqlite3").read_text() == "my shopping list"

    @pytest.mark.parametrize(
        "arguments, code, words",
        [
            (("--provider", "CUDA"), 69, "provider 'CUDA' is not supported"),
            (("--engine", "torch"), 69, "engine 'torch' is not known"),
            (("--threads", "-1"), 64, "setting threads is -1"),
            (("--threads", "many"), 64, "--threads"),
            (("--settings", "missing.toml"), 64, "settings file missing.toml cannot be read"),
        ],
    )
    def test_options(self, arguments: tuple[str, ...], code: int, words: str, ask: Ask, state: Path) -> None:
        before = files_below(state)
        assert words in one_line(ask(*arguments, "correct", str(PHOTOS[1]), "--label", TRUTHS[1], code=code))
        assert files_below(state) == before

    @pytest.mark.parametrize(
        "arguments",
        [
            ("predict",),
            ("predict", PHOTO, "--top", "0"),
            ("correct", PHOTO),
            ("correct", PHOTO, PHOTO, "--label", "frog"),
            ("correct", PHOTO, "--label", "frog", "--nonsense"),
            ("undo", "first"),
            ("nonsense",),
            ("--nonsense",),
            ("labels", "nonsense"),
        ],
        ids=" ".join,
    )
    def test_usage(self, arguments: tuple[str, ...], ask: Ask, state: Path) -> None:
        before = files_below(state)
        assert "--help" in one_line(ask(*arguments, code=64))
        assert files_below(state) == before

    def test_file_to_export(self, ask: Ask, tmp_path: Path) -> None:
        assert "cannot be written" in one_line(ask("export-onnx", str(tmp_path / "no" / "folder.onnx"), code=65))
        one_line(ask("export-onnx", str(tmp_path), code=64))
        assert not [path for path in tmp_path.iterdir() if path.suffix == ".onnx"]

    def test_no_artifact_was_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        monkeypatch.chdir(tmp_path)
        assert run(["info"]) == 64
        out, err = capfd.readouterr()
        assert "no artifact was named" in one_line(Answer(64, out, err))
        monkeypatch.chdir(ROOT)
        assert run(["info"]) == 0, "artifacts/default is found where it lies"


class TestDebug:
    def test_traceback_only_with_debug(self, ask: Ask, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("strange")

        monkeypatch.setattr(Writer, "add_correction", fail)
        error = one_line(ask("correct", PHOTO, "--label", TRUTH, code=70))
        assert "unexpected ZeroDivisionError: strange" in error
        assert "--debug" in error
        with pytest.raises(ZeroDivisionError):
            run(["--debug", "--artifact", str(ARTIFACT), "--state", str(state), "correct", PHOTO, "--label", TRUTH])

    def test_our_errors_too(self, tmp_path: Path) -> None:
        from edge_agent.errors import ArtifactError

        with pytest.raises(ArtifactError):
            run(["--debug", "--artifact", str(tmp_path), "info"])

    def test_interrupt_is_130(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(module.Call, "agent", interrupt)
        assert run(["info"]) == 130

    def test_reader_that_went_away_is_no_error(self, state: Path) -> None:
        options = ["--artifact", str(ARTIFACT), "--state", str(state)]
        command = [sys.executable, "-m", "edge_agent.cli", *options, "predict", PHOTO, PHOTO, "--json"]
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        assert result.returncode == 141
        assert result.stderr == ""


class TestHelp:
    def test_every_command_is_listed(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["--help"]) == 0
        text = capfd.readouterr().out
        for name, command in cli.commands.items():
            assert f"  {name} " in text
            assert command.help
            for parameter in command.params:
                assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None), f"{name} {parameter.name}"
        assert set(COMMANDS) <= set(cli.commands)
        for code in ("0", "4", "64", "65", "66", "69", "73"):
            assert code in text

    def test_no_command_shows_help(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert run([]) == 0
        first = capfd.readouterr().out
        assert run(["-h"]) == 0
        assert capfd.readouterr().out == first

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_help_and_json(self, name: str, capfd: pytest.CaptureFixture[str]) -> None:
        assert run([name, "--help"]) == 0
        assert "--json" in capfd.readouterr().out

    def test_version(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["--version"]) == 0
        assert capfd.readouterr().out.startswith("edge-agent, version ")


def test_environment_names_artifact_and_state(state: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EDGE_AGENT_ARTIFACT", str(ARTIFACT))
    monkeypatch.setenv("EDGE_AGENT_STATE", str(state))
    monkeypatch.setenv("EDGE_AGENT_ENGINE", "portable")
    assert run(["correct", PHOTO, "--label", TRUTH]) == 0
    assert state.is_dir()
    capfd.readouterr()
    assert run(["info", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["engine"] == "portable"


def test_as_a_program(state: Path) -> None:
    """The sequence of the documentation, each command a process of its own."""

    def program(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", "edge_agent.cli", "--artifact", "artifacts/default", "--state", str(state), *arguments, "--json"]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert (result.returncode, result.stderr) == (0, "")
        found = json.loads(result.stdout)
        assert isinstance(found, dict)
        return found

    start = program("info")["head_sha256"]
    assert program("correct", PHOTO, "--label", TRUTH)["verdict"] == "accepted"
    again = program("predict", PHOTO)
    assert (again["label"], again["generation"]) == (TRUTH, 1)
    assert float(np.float64(str(again["probability"]))) >= 0.9
    assert program("undo")["head_sha256"] == start
