"""What is written beside the journal is forced to the disk before its name says that it is there; SQLite's own syncs: the power cut."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS

from edge_agent.agent import EdgeAgent
from edge_agent.atomic_file import write_atomically
from edge_agent.cli import run
from edge_agent.journal_file import FILE_NAME

pytestmark = pytest.mark.usefixtures("shared_backbone")


class Events(list[tuple[str, str]]):
    """What was forced to the disk and what was renamed, in its order, by the names at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = dict[str, int]()  # of what was forced, at that moment


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Events:
    """Of this test."""
    found = Events()
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def forced(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        found.append(("fsync", path))
        found.sizes[path] = os.fstat(descriptor).st_size
        fsync(descriptor)

    def renamed(source: str | Path, target: str | Path) -> None:
        found.append(("rename", str(target)))
        rename(source, target)

    def replaced(source: str | Path, target: str | Path) -> None:
        found.append(("replace", str(target)))
        replace(source, target)

    for name, spy in (("fsync", forced), ("rename", renamed), ("replace", replaced)):
        monkeypatch.setattr(os, name, spy)
    return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """One correction."""
    with closing(EdgeAgent.open(ARTIFACT, tmp_path / "state")) as agent:
        agent.correct(PHOTOS[0], TRUTHS[0])
    return tmp_path / "state"


def command(state: Path, *arguments: str) -> None:
    assert run(["--artifact", str(ARTIFACT), "--state", str(state), "state", *arguments, "--json"]) == 0


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, events: Events) -> None:
    write_atomically(tmp_path / "file", b"content")
    (first, temporary), last = events
    assert (first, last) == ("fsync", ("replace", str(tmp_path / "file")))
    assert events.sizes[temporary] == len(b"content")
    assert Path(temporary).parent == tmp_path
    assert Path(temporary).name.startswith(".file.")


def test_an_exported_state_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(state: Path, tmp_path: Path, events: Events) -> None:
    command(state, "export", str(tmp_path / "copy.state"))
    place = events.index(("rename", str(tmp_path / "copy.state")))
    (forced,) = (path for what, path in events[:place] if what == "fsync" and path.startswith(f"{tmp_path}/.copy.state"))
    assert events.sizes[forced] == (tmp_path / "copy.state").stat().st_size
    assert ("fsync", str(tmp_path)) in events[place:]


def test_what_an_import_replaces_is_on_the_disk_before_the_new_state_is(state: Path, tmp_path: Path, events: Events) -> None:
    command(state, "export", str(tmp_path / "copy.state"))
    events.clear()
    command(state, "import", str(tmp_path / "copy.state"), "--replace")
    (kept,) = (path for path in state.iterdir() if path.is_dir())
    wanted = [("fsync", str(kept / FILE_NAME)), ("fsync", str(kept)), ("fsync", str(state))]
    assert [event for event in events if event in wanted][-3:] == wanted


def test_what_is_set_aside_and_what_comes_in_its_place_is_on_the_disk(state: Path, tmp_path: Path, events: Events) -> None:
    command(state, "export", str(tmp_path / "copy.state"))
    (state / FILE_NAME).write_bytes(b"no journal")
    events.clear()
    command(state, "import", str(tmp_path / "copy.state"), "--replace")
    (kept,) = (path for path in state.iterdir() if path.is_dir())
    place = events.index(("rename", str(state / FILE_NAME)))
    assert [path for what, path in events[place:] if what == "fsync"][:2] == [str(kept), str(state)]


def test_the_list_of_exported_corrections_is_on_the_disk(state: Path, tmp_path: Path, events: Events) -> None:
    with closing(EdgeAgent.open(ARTIFACT, state)) as agent:
        agent.export_corrections(tmp_path / "taken")
    (forced,) = (path for what, path in events if what == "fsync" and "taken" in path)
    assert events.sizes[forced] == (tmp_path / "taken" / Path(forced).name).stat().st_size
