"""`edge-agent state`: a check that finds what is damaged, a file within its limits, a sound copy, and that put back as a whole."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS, files_below

from edge_agent.agent import EdgeAgent
from edge_agent.artifact_record import RECORD_NAME
from edge_agent.cli import run
from edge_agent.errors import StateError
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_mark import MARK_NAME

pytestmark = pytest.mark.usefixtures("shared_backbone")
Ask = Callable[..., tuple[dict[str, object], str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state with three corrections, one taken back, a label and a picture that waits."""
    agent = EdgeAgent.open(ARTIFACT, tmp_path / "state")
    for photo, truth in zip(PHOTOS[:3], TRUTHS, strict=False):
        agent.correct(photo, truth)
    agent.undo(2)
    agent.add_label("newt")
    assert agent.queue.offer(agent.predict(PHOTOS[5])).kept
    agent.close()
    return tmp_path / "state"


@pytest.fixture
def ask(folder: Path, capfd: pytest.CaptureFixture[str]) -> Ask:
    """Run `edge-agent state …`; the answer, and what stands on stderr."""

    def command(*arguments: str, code: int = 0, state: Path = folder) -> tuple[dict[str, object], str]:
        capfd.readouterr()
        status = run(["--artifact", str(ARTIFACT), "--state", str(state), "state", *arguments, "--json"])
        out, err = capfd.readouterr()
        assert status == code, err
        assert "Traceback" not in err
        return json.loads(out) if out else {}, err

    return command


def spoil(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / FILE_NAME)
    with connection:
        connection.execute(statement)
    connection.close()


def head_of(folder: Path) -> tuple[str, tuple[str, ...], list[int]]:
    agent = EdgeAgent.open(ARTIFACT, folder)
    try:
        return agent.head.digest(), agent.labels, [entry.id for entry in agent.history() if entry.active]
    finally:
        agent.close()


class TestCheck:
    def test_sound(self, ask: Ask, folder: Path) -> None:
        before = files_below(folder)
        found, _ = ask("check")
        assert (found["sound"], found["findings"], found["head"], found["head_difference"]) == (True, [], "equal", 0)
        assert (found["corrections"], found["active"], found["pictures"], found["generations"]) == (3, 2, 3, 5)
        assert ask("check", "--no-solve")[0]["head"] == "not compared"
        assert files_below(folder) == before

    @pytest.mark.parametrize(
        ("statement", "named"),
        [
            ("UPDATE corrections SET label='bird' WHERE id=1", "correction 1 is damaged"),
            ("UPDATE corrections SET seen=zeroblob(length(seen)) WHERE id=3", "correction 3"),
            ("UPDATE pictures SET picture=x'01' WHERE correction=1", "the picture of correction 1"),
            ("UPDATE generations SET head=zeroblob(9) WHERE number=5", "head 5"),
            ("UPDATE labels SET name='bewt'", "labels"),
            ("UPDATE facts SET value='9' WHERE name='commits'", "'commits'"),
            ("UPDATE waiting SET picture=x'01'", "waiting picture"),
            ("DELETE FROM corrections WHERE id=2", "corrections are gone"),
        ],
    )
    def test_damage_is_named(self, statement: str, named: str, ask: Ask, folder: Path) -> None:
        spoil(folder, statement)
        found, _ = ask("check", code=73)
        assert not found["sound"]
        assert named in str(found["findings"])

    def test_a_head_of_other_corrections_is_found(self, ask: Ask, folder: Path) -> None:
        with sqlite3.connect(folder / FILE_NAME) as connection:
            connection.execute("UPDATE corrections SET active=0, undone_at='then' WHERE id=3")
            from edge_agent.journal_digests import seal_rows

            seal_rows(connection, "corrections")
        found, _ = ask("check", code=73)
        assert found["head"] == "differs"

    def test_an_older_copy_of_the_state(self, ask: Ask, folder: Path) -> None:
        older = (folder / FILE_NAME).read_bytes()
        agent = EdgeAgent.open(ARTIFACT, folder)
        agent.undo()
        agent.close()
        (folder / FILE_NAME).write_bytes(older)
        found, _ = ask("check", code=73)
        assert "was replaced" in str(found["findings"])

    def test_no_state(self, ask: Ask, tmp_path: Path) -> None:
        assert "there is no state" in ask("check", code=73, state=tmp_path / "none")[1]

    def test_pages_that_cannot_be_read(self, ask: Ask, folder: Path) -> None:
        data = bytearray((folder / FILE_NAME).read_bytes())
        data[8192:] = b"\xa5" * (len(data) - 8192)
        (folder / FILE_NAME).write_bytes(data)
        found, err = ask("check", code=73)
        assert found.get("findings") or "cannot be used" in err


class TestCompact:
    def test_what_the_settings_do_not_keep_leaves(self, ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = head_of(folder)
        for name, value in (("KEPT_PICTURES", "1"), ("KEPT_GENERATIONS", "2"), ("KEPT_UNUSED", "0")):
            monkeypatch.setenv(f"EDGE_AGENT_{name}", value)
        found, _ = ask("compact")
        assert (found["pictures"], found["generations"]) == (2, 3)
        assert found["after_bytes"] == (folder / FILE_NAME).stat().st_size < found["before_bytes"]  # type: ignore[operator]
        checked, _ = ask("check")
        assert (checked["sound"], checked["pictures"], checked["generations"]) == (True, 1, 2)
        assert head_of(folder) == before
        assert ask("compact")[0]["pictures"] == 0

    def test_what_acts_is_never_dropped(self, ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("KEPT_PICTURES", "KEPT_PICTURES_BYTES", "KEPT_UNUSED"):
            monkeypatch.setenv(f"EDGE_AGENT_{name}", "0")
        ask("compact")
        assert ask("check")[0]["head"] == "equal"

    def test_no_state(self, ask: Ask, tmp_path: Path) -> None:
        assert "there is no state" in ask("compact", code=73, state=tmp_path / "none")[1]
        assert not (tmp_path / "none").exists()


class TestExportAndImport:
    def test_there_and_back(self, ask: Ask, folder: Path, tmp_path: Path) -> None:
        before = files_below(folder)
        done, _ = ask("export", str(tmp_path / "copy"))
        assert (done["lost"], done["bytes"]) == ([], (tmp_path / "copy").stat().st_size)
        assert files_below(folder) == before
        back, _ = ask("import", str(tmp_path / "copy"), state=tmp_path / "other")
        assert (back["kept"], back["corrections"], back["active"]) == (None, 3, 2)
        assert head_of(tmp_path / "other") == head_of(folder)
        agent = EdgeAgent.open(ARTIFACT, tmp_path / "other")
        assert len(agent.queue) == 1
        assert agent.correct(PHOTOS[4], TRUTHS[4]).id == 4
        agent.close()
        assert ask("check", state=tmp_path / "other")[0]["sound"]

    def test_nothing_is_overwritten(self, ask: Ask, tmp_path: Path) -> None:
        (tmp_path / "copy").write_text("mine")
        assert "exists" in ask("export", str(tmp_path / "copy"), code=64)[1]
        assert (tmp_path / "copy").read_text() == "mine"
        assert "cannot be written" in ask("export", str(tmp_path / "no" / "copy"), code=65)[1]

    def test_a_used_state_is_replaced_only_when_asked(self, ask: Ask, folder: Path, tmp_path: Path) -> None:
        ask("export", str(tmp_path / "copy"))
        used = EdgeAgent.open(ARTIFACT, folder)
        used.correct(PHOTOS[6], TRUTHS[6])
        taught, before = head_of(folder), files_below(folder)
        assert "is not empty" in ask("import", str(tmp_path / "copy"), code=73)[1]
        assert files_below(folder) == before
        done, _ = ask("import", str(tmp_path / "copy"), "--replace")
        assert done["active"] == 2
        assert used.predict(PHOTOS[0]).generation == 5, "who has it open sees it with the next picture"
        used.undo()
        used.close()
        assert head_of(Path(str(done["kept"]))) == taught
        assert ask("check")[0]["sound"]
        assert ask("check", state=Path(str(done["kept"])))[0]["sound"]

    @pytest.mark.parametrize("place", [0, 25, 60, 400, 5000, -1])
    def test_a_changed_file_is_refused(self, place: int, ask: Ask, folder: Path, tmp_path: Path) -> None:
        ask("export", str(tmp_path / "copy"))
        data = bytearray((tmp_path / "copy").read_bytes())
        data[place] ^= 4
        (tmp_path / "copy").write_bytes(data)
        before = files_below(folder)
        err = ask("import", str(tmp_path / "copy"), "--replace", code=65)[1]
        assert "is damaged" in err or "is not a state" in err
        (tmp_path / "copy").write_bytes(data[: len(data) // 2])
        assert ask("import", str(tmp_path / "copy"), "--replace", code=65)[1]
        assert files_below(folder) == before

    def test_what_is_no_state_is_refused(self, ask: Ask, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"edge-agent state 1\n[1]\n")
        for name in ("x", "state/journal.sqlite3", "missing", "."):
            assert ask("import", str(tmp_path / name), code=65)[1]

    @pytest.mark.parametrize("how", ["pages", "fact", "gone", "older", "foreign"])
    def test_a_state_that_cannot_be_used_is_set_aside(self, how: str, ask: Ask, folder: Path, tmp_path: Path) -> None:
        ask("export", str(tmp_path / "copy"))
        expected, path = head_of(folder), folder / FILE_NAME
        if how == "pages":
            path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 9000)
        elif how == "fact":
            spoil(folder, "UPDATE facts SET value='other' WHERE name='artifact'")
        elif how == "gone":
            path.unlink()
        elif how == "older":
            older = path.read_bytes()
            agent = EdgeAgent.open(ARTIFACT, folder)
            agent.undo()
            agent.close()
            path.write_bytes(older)
        else:
            spoil(folder, "DELETE FROM facts")
            with sqlite3.connect(path) as connection:
                from edge_agent.journal_facts import count_commit

                count_commit(connection, "b" * 64)
            (folder / MARK_NAME).unlink()
        assert ask("import", str(tmp_path / "copy"), code=73)[1]
        done, _ = ask("import", str(tmp_path / "copy"), "--replace")
        assert head_of(folder) == expected
        assert Path(str(done["kept"])).is_dir()
        assert ask("check")[0]["sound"]
        ours = {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", MARK_NAME, RECORD_NAME, "before-import-1"}
        assert {entry.name for entry in folder.iterdir()} <= ours
        agent = EdgeAgent.open(ARTIFACT, folder)
        agent.correct(PHOTOS[7], TRUTHS[7])
        agent.close()
        assert ask("check")[0]["sound"]


class TestSalvage:
    def test_a_damaged_state_is_refused_and_what_is_sound_is_saved(self, ask: Ask, folder: Path, tmp_path: Path) -> None:
        spoil(folder, "UPDATE corrections SET label='bird' WHERE id=1")
        assert "--salvage" in ask("export", str(tmp_path / "copy"), code=73)[1]
        assert not (tmp_path / "copy").exists()
        done, _ = ask("export", str(tmp_path / "copy"), "--salvage")
        assert done["lost"] == ["correction 1"]
        back, _ = ask("import", str(tmp_path / "copy"), state=tmp_path / "other")
        assert (back["active"], back["lost"]) == (1, ["correction 1"])
        assert ask("check", state=tmp_path / "other")[0]["head"] == "equal"
        agent = EdgeAgent.open(ARTIFACT, tmp_path / "other")
        assert [entry.standing for entry in agent.history()] == ["undone", "undone", "acting"]
        assert agent.labels[-1] == "newt"
        assert agent.predict(PHOTOS[2]).label == TRUTHS[2]
        assert agent.correct(PHOTOS[0], TRUTHS[0]).id == 4
        agent.close()

    @pytest.mark.parametrize(
        ("statement", "lost"),
        [
            ("UPDATE corrections SET seen=zeroblob(length(seen)) WHERE id=3", ["what was seen of correction 3"]),
            ("DELETE FROM corrections WHERE id=3", ["correction 3"]),
            ("UPDATE pictures SET picture=x'01' WHERE correction=2", ["the picture of correction 2"]),
            ("UPDATE generations SET head=x'01'", []),
            ("UPDATE labels SET name='bewt'", []),
            ("UPDATE facts SET value='9' WHERE name='artifact'", ["row 1 of facts"]),
            ("UPDATE waiting SET picture=x'01'", ["the waiting picture in place 1"]),
        ],
    )
    def test_every_kind(self, statement: str, lost: list[str], ask: Ask, folder: Path, tmp_path: Path) -> None:
        spoil(folder, statement)
        assert ask("export", str(tmp_path / "copy"), "--salvage")[0]["lost"] == lost
        ask("import", str(tmp_path / "copy"), state=tmp_path / "other")
        assert ask("check", state=tmp_path / "other")[0]["sound"]
        _, labels, active = head_of(tmp_path / "other")
        assert labels[-1] == "newt"
        assert set(active) == ({1} if "correction 3" in str(lost) else {1, 3})

    def test_pages_that_cannot_be_read_cost_their_own_rows(self, ask: Ask, folder: Path, tmp_path: Path) -> None:
        data = (folder / FILE_NAME).read_bytes()
        saved, refused = 0, 0
        for page in range(1, len(data) // 4096):
            (folder / FILE_NAME).write_bytes(data[: page * 4096] + b"\xa5" * 4096 + data[(page + 1) * 4096 :])
            target = tmp_path / f"copy-{page}"
            try:
                done, _ = ask("export", str(target), "--salvage")
            except AssertionError:
                refused += 1
                continue
            saved += 1
            assert done["lost"] or page
            ask("import", str(target), state=tmp_path / f"other-{page}")
            assert ask("check", "--no-solve", state=tmp_path / f"other-{page}")[0]["sound"]
        assert saved > refused


def test_a_foreign_state_points_at_migrate(folder: Path) -> None:
    from edge_agent.journal_facts import check_owner

    with sqlite3.connect(folder / FILE_NAME) as connection, pytest.raises(StateError, match="of another artifact") as caught:
        check_owner(connection, "b" * 64, folder)
    assert "edge-agent migrate --from" in caught.value.hint
