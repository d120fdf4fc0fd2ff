"""`edge-agent migrate`: what was learned is taught again to another artifact, and nothing changes before all of it has succeeded."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_artifact import signed
from on_device import ARTIFACT, PHOTOS, TRUTHS, files_below

from edge_agent import migrating
from edge_agent.agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.cli import run
from edge_agent.errors import StateError
from edge_agent.journal import Writer
from edge_agent.migrating import migrate_state
from edge_agent.settings import Settings

Ask = Callable[..., tuple[dict[str, object], str]]


def renamed(folder: Path, old: str, new: str) -> Path:
    """The default artifact with one label called otherwise: another artifact, with the same network."""
    shutil.copytree(ARTIFACT, folder)
    data = (folder / "labels.txt").read_text("utf-8").replace(old, new).encode()
    (folder / "labels.txt").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["labels.txt"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_bytes(signed(manifest))
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """An artifact that calls the label of the last photo otherwise."""
    return renamed(tmp_path / "other", TRUTHS[-1], "vehicle of some kind")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state with four corrections, one of them of a label added here, one taken back, one without its picture; and one that waits."""
    agent = EdgeAgent.open(ARTIFACT, tmp_path / "state", settings=Settings(kept_pictures=100))
    agent.correct(PHOTOS[0], TRUTHS[0])
    agent.correct(PHOTOS[-1], TRUTHS[-1])
    agent.correct(PHOTOS[2], "newt", new_label=True)
    agent.correct(PHOTOS[3], TRUTHS[3])
    agent.undo(4)
    with agent.once("a request"):
        agent.correct(PHOTOS[4], TRUTHS[4])
    agent.close()
    unkept = EdgeAgent.open(ARTIFACT, tmp_path / "state", settings=Settings(keep_pictures=False))
    unkept.correct(PHOTOS[5], TRUTHS[5])
    assert unkept.queue.offer(unkept.predict(PHOTOS[6])).kept
    unkept.close()
    return tmp_path / "state"


@pytest.fixture
def ask(folder: Path, other: Path, capfd: pytest.CaptureFixture[str]) -> Ask:
    def command(*arguments: str, code: int = 0) -> tuple[dict[str, object], str]:
        capfd.readouterr()
        status = run(["migrate", "--from", str(ARTIFACT), "--to", str(other), "--state", str(folder), "--json", *arguments])
        out, err = capfd.readouterr()
        assert status == code, err
        assert "Traceback" not in err
        return json.loads(out) if out else {}, err

    return command


def outcomes(found: dict[str, object]) -> list[tuple[int, str]]:
    corrections = found["corrections"]
    assert isinstance(corrections, list)
    return [(each["id"], each["outcome"]) for each in corrections]


def test_what_was_learned_is_taught_again(ask: Ask, folder: Path, other: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = EdgeAgent.open(ARTIFACT, folder)
    old_head, old_history = before.head.digest(), before.history()
    before.close()
    found, _ = ask()
    assert outcomes(found) == [(1, "accepted"), (2, "pending"), (3, "accepted"), (5, "accepted"), (6, "pending")]
    reasons = {each["id"]: each["reason"] for each in found["corrections"]}  # type: ignore[attr-defined]
    assert TRUTHS[-1] in reasons[2]
    assert reasons[6] == "its picture was not kept"
    assert (found["labels"], found["waiting"], found["waited"], found["dry_run"]) == (["newt"], 1, 1, False)
    agent = EdgeAgent.open(other, folder)
    assert [agent.predict(PHOTOS[place]).label for place in (0, 2, 4)] == [TRUTHS[0], "newt", TRUTHS[4]]
    assert [entry.image for entry in agent.history()] == [str(PHOTOS[place]) for place in (0, 2, 4)]
    assert len(agent.queue) == 1
    done = agent.requested("a request")
    assert done is not None
    assert done.corrections == (3,)
    kept = EdgeAgent.open(ARTIFACT, str(found["kept"]))
    assert kept.head.digest() == old_head
    assert kept.history() == old_history
    kept.close()

    def pending() -> list[int]:
        capfd.readouterr()
        assert run(["--artifact", str(other), "--state", str(folder), "state", "pending", "--json"]) == 0
        return [json.loads(line)["correction"] for line in capfd.readouterr().out.splitlines()]

    assert pending() == [2, 6]
    agent.correct(PHOTOS[5], TRUTHS[5])
    assert pending() == [2], "what is taught is pending no longer"
    agent.close()
    assert run(["--artifact", str(other), "--state", str(folder), "state", "check"]) == 0


def test_a_dry_run_changes_nothing(ask: Ask, folder: Path) -> None:
    before = files_below(folder)
    found, _ = ask("--dry-run")
    assert len(outcomes(found)) == 5
    assert files_below(folder) == before


def test_words_for_people(folder: Path, other: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--state", str(folder), "migrate", "--from", str(ARTIFACT), "--to", str(other)]) == 0
    out = capfd.readouterr().out
    assert "5 corrections: 3 accepted, 0 already correct, 0 refused, 2 pending" in out
    assert f"  pending #6 {PHOTOS[5]}, {TRUTHS[5]}: its picture was not kept" in out
    assert f"the old one is kept in {folder}/before-migrate-1" in out


def test_the_guard_refuses_here_too(ask: Ask, other: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_AGENT_GUARD_DROP", "0")
    monkeypatch.setenv("EDGE_AGENT_GUARD_TOTAL", "0")
    from dataclasses import replace

    from edge_agent.guard import Guard

    real = Guard.judge
    monkeypatch.setattr(Guard, "judge", lambda *a, **k: replace(real(*a, **k), accepted=False, reason="it would break 3 of 200"))
    found, _ = ask()
    assert {outcome for _, outcome in outcomes(found)} == {"refused", "pending"}
    agent = EdgeAgent.open(other, folder)
    assert [entry.standing for entry in agent.history()] == ["refused"] * 3
    agent.close()


def test_nothing_changes_when_it_fails(folder: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_below(folder)

    def full(self: Writer, source: object) -> None:
        raise StateError("the disk is full", "")

    monkeypatch.setattr(Writer, "replace_all", full)
    with pytest.raises(StateError, match="full"):
        migrate_state(Artifact.open(ARTIFACT), Artifact.open(other), folder, folder, Settings(), False, lambda *_: None)
    now = files_below(folder)
    assert {name: now[name] for name in before if "journal" in name} == {name: before[name] for name in before if "journal" in name}


def test_a_correction_made_meanwhile_is_not_lost(folder: Path, other: Path) -> None:
    def meanwhile(done: int, total: int) -> None:
        if done == 1:
            agent = EdgeAgent.open(ARTIFACT, folder)
            agent.correct(PHOTOS[7], TRUTHS[7])
            agent.close()

    with pytest.raises(StateError, match="changed while its corrections were moved"):
        migrate_state(Artifact.open(ARTIFACT), Artifact.open(other), folder, folder, Settings(), False, meanwhile)
    agent = EdgeAgent.open(ARTIFACT, folder)
    assert len(agent.history()) == 7
    agent.close()


def test_default_states_of_both_artifacts(folder: Path, other: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old, new = Artifact.open(ARTIFACT), Artifact.open(other)
    before = files_below(folder)
    done = migrate_state(old, new, folder, tmp_path / "new", Settings(), False, lambda *_: None)
    assert (done.state, done.kept) == (str(tmp_path / "new"), str(folder))
    assert files_below(folder) == before
    with pytest.raises(StateError, match="is not empty"):
        migrate_state(old, new, folder, tmp_path / "new", Settings(), False, lambda *_: None)


def test_who_has_it_open_does_not_serve_what_is_not_its_own(ask: Ask, folder: Path) -> None:
    agent = EdgeAgent.open(ARTIFACT, folder)
    agent.predict(PHOTOS[0])
    ask()
    for call in (lambda: agent.predict(PHOTOS[0]), lambda: agent.correct(PHOTOS[8], TRUTHS[8]), agent.history):
        with pytest.raises(StateError, match="of another artifact") as caught:
            call()
        assert "edge-agent migrate" in caught.value.hint
    agent.close()


@pytest.mark.parametrize("wrong", ["same", "none", "third", "damaged"])
def test_what_cannot_be(wrong: str, folder: Path, other: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if wrong == "damaged":
        import sqlite3

        with sqlite3.connect(folder / "journal.sqlite3") as connection:
            connection.execute("UPDATE corrections SET label='bird' WHERE id=1")
    before = files_below(folder)
    source, target = (str(ARTIFACT), str(ARTIFACT)) if wrong == "same" else (str(ARTIFACT), str(other))
    if wrong == "third":
        source, target = str(renamed(tmp_path / "third", "cat", "kitten")), source
    state = str(tmp_path / "none") if wrong == "none" else str(folder)
    code = run(["migrate", "--from", source, "--to", target, "--state", state])
    err = capfd.readouterr().err
    assert code == (64 if wrong == "same" else 73)
    words = {"same": "are the same", "none": "there is no state", "third": "of another artifact", "damaged": "correction 1 is damaged"}
    assert words[wrong] in err
    assert err.count("\n") == 1
    assert files_below(folder) == before


def test_pending_ones_are_carried_on(folder: Path, other: Path, tmp_path: Path) -> None:
    old, new = Artifact.open(ARTIFACT), Artifact.open(other)
    unused = next(label for label in old.labels if label not in [TRUTHS[place] for place in (0, 4, 5, -1)])
    third = Artifact.open(renamed(tmp_path / "third", unused, "unused"))
    migrate_state(old, new, folder, folder, Settings(), False, lambda *_: None)
    migrate_state(new, third, folder, folder, Settings(), False, lambda *_: None)
    agent = EdgeAgent.open(tmp_path / "third", folder)
    assert len(agent._journal.read(migrating.read_pending)) == 2
    agent.close()
    assert (folder / "before-migrate-2").is_dir()


def test_a_bar_after_two_seconds(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    from edge_agent import cli_migrate

    clock = iter([0.0, 1.0, 3.0, 15.0])
    monkeypatch.setattr(cli_migrate.time, "monotonic", lambda: next(clock))
    with cli_migrate._progress() as progress:
        for done in (1, 2, 3):
            progress(done, 3)
    assert capfd.readouterr().err == "migrating: 3 of 3 corrections\n"
