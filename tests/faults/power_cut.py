"""D2: the power is cut. Every write and sync of a device's life is recorded below SQLite, and the disk is made again as a cut may leave it.

Until a file is forced to the disk each write since may be there, not be there, or be there in part, in any order, and so may a file's
length; what was forced is there. A name may be missing until its folder was forced, by the journal or by SQLite (which does it with the
first sync of a new log); a deletion may not have happened. The mark is never forced: it is any of those written since the journal was
last acknowledged, or torn, or not there.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fault import Fault, Outcome
from field import Field, now, read_life
from sqlite_seam import OK, Hook, available, seam

from edge_agent.errors import EdgeAgentError
from edge_agent.journal import Journal
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_mark import MARK_NAME
from edge_agent.settings import Settings
from edge_agent.state_check import damage_of
from edge_agent.state_reader import open_snapshot

LIFE = 40  # changes in a recorded life, with two restarts
SECTOR = 512
MEMORY = Path("/dev/shm")


def homes_of(state: Path) -> tuple[Path, Path]:
    """The folders that name the state's folder and the one above it, both of which its first writer makes."""
    return state.parent, state.parent.parent


class Event(NamedTuple):
    """One thing that happened: "write", "truncate", "sync", "delete", "folder" (forced) or "done" (acknowledged)."""

    kind: str
    file: str = ""
    offset: int = 0
    data: bytes = b""


class Recorder(Hook):
    """Writes down what happens to the files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.events, self.folder = list[Event](), folder

    def write(self, file: str, data: bytes, offset: int) -> int:
        self.events.append(Event("write", Path(file).name, offset, data))
        return OK

    def truncate(self, file: str, size: int) -> int:
        self.events.append(Event("truncate", Path(file).name, size))
        return OK

    def sync(self, file: str) -> int:
        self.events.append(Event("sync", Path(file).name))
        return OK

    def delete(self, file: str) -> int:
        self.events.append(Event("delete", Path(file).name))
        return OK

    def forced(self, descriptor: int) -> None:
        """`os.fsync` was called: the state's folder, or the one it lies in."""
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path in (self.folder, *homes_of(self.folder)):
            self.events.append(Event("folder", "state" if path == self.folder else str(path)))


@dataclass
class Recording:
    """A life: its events, and what the journal said after each change (`read_life`); the first of them is the empty state."""

    events: list[Event]
    lives: list[Any]
    marks: list[bytes]


@dataclass
class Stored:
    """One file as the disk has it: what is certain, and what was written since; `named` when its name is certain."""

    certain: bytearray = field(default_factory=bytearray)
    since: list[Event] = field(default_factory=list)
    named: bool = False
    was_synced: bool = False


def record(device: Field, folder: Path) -> Recording:
    """Live: corrections, undos and restarts, each followed by what the journal says."""
    state = folder / "new" / "state"
    recorder, lives, marks, real = Recorder(state), list[Any](), list[bytes](), os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        recorder.forced(descriptor)

    settings, number = Settings(kept_generations=4), 0
    lives.append(read_life(Journal(state, device.artifact.digest, settings, now)))
    marks.append(b"")
    with pytest.MonkeyPatch.context() as patch, seam(recorder):
        patch.setattr(os, "fsync", fsync)
        for part in range(3):
            with device.agent(state, settings) as agent:
                for number in range(part * LIFE // 3, (part + 1) * LIFE // 3):
                    device.teach(agent, number)
                    recorder.events.append(Event("done"))
                    lives.append(read_life(agent._journal))
                    marks.append((state / MARK_NAME).read_bytes())
    return Recording(recorder.events, lives, marks)


def cut(events: Sequence[Event], rng: random.Random) -> tuple[dict[str, bytes] | None, int]:
    """The disk after a cut behind these events, and how many changes were acknowledged; None where the folder itself has no name yet."""
    disk, gone, done, homes = dict[str, Stored](), dict[str, Stored](), 0, set[str]()
    for event in events:
        kind, name = event.kind, event.file
        if kind == "done":
            done += 1
        elif kind == "folder":
            if name != "state":
                homes.add(name)
            else:
                gone.clear()
                for stored in disk.values():
                    stored.named = True
        elif kind == "delete":
            if name in disk:
                gone[name] = disk.pop(name)
        else:
            _happen(disk, gone, event)
    if len(homes) < 2 and rng.random() < 0.5:
        return None, done
    for name, stored in gone.items():  # a deletion is a change of the folder too
        if name not in disk and rng.random() < 0.5:
            disk[name] = stored
    return {name: _image(stored, rng) for name, stored in disk.items() if stored.named or rng.random() < 0.5}, done


def _happen(disk: dict[str, Stored], gone: dict[str, Stored], event: Event) -> None:
    stored = disk.setdefault(event.file, Stored())
    if event.kind != "sync":
        stored.since.append(event)
        return
    for change in stored.since:
        _apply(stored.certain, change)
    stored.since.clear()
    if not stored.was_synced and not event.file.endswith(FILE_NAME):  # SQLite forces the folder with the first sync of a log
        gone.clear()
        for other in disk.values():
            other.named = True
    stored.was_synced = True


def _image(stored: Stored, rng: random.Random) -> bytes:
    """What is certain, and of the rest what fate leaves: the more is in flight, the more ways."""
    content, way = bytearray(stored.certain), rng.random()
    since = list(stored.since)
    if way < 0.2:
        since = since[: rng.randint(0, len(since))]  # in order, the last one torn
        last = since.pop() if since else None
        for change in since:
            _apply(content, change)
        if last is not None:
            _apply(content, _torn(last, rng))
        return bytes(content)
    rng.shuffle(since)
    keep = rng.random()
    for change in since:
        fate = rng.random()
        if fate < keep * 0.8:
            _apply(content, change)
        elif fate < keep:
            _apply(content, _torn(change, rng))
    return bytes(content)


def _torn(change: Event, rng: random.Random) -> Event:
    """Some sectors of a write; the rest is as it was."""
    if change.kind != "write" or not change.data:
        return change
    start = rng.randrange(0, len(change.data), SECTOR) if rng.random() < 0.5 else 0
    end = min(len(change.data), start + rng.randint(1, 1 + len(change.data) // SECTOR) * SECTOR)
    if rng.random() < 0.2:
        end = rng.randint(start, len(change.data))  # a disk that tears within a sector
    return Event("write", change.file, change.offset + start, change.data[start:end])


def _apply(content: bytearray, change: Event) -> None:
    if change.kind == "truncate":
        del content[change.offset :]
        return
    if len(content) < change.offset:
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data


def _mark(recording: Recording, done: int, rng: random.Random) -> bytes | None:
    mark = recording.marks[rng.randint(max(0, done - 1), done)]
    way = rng.random()
    return None if way < 0.2 or not mark else mark[: rng.randint(0, len(mark))] if way < 0.4 else mark


def _fault_of(recording: Recording, device: Field, state: Path, done: int, goes_on: bool) -> str | None:
    """What is wrong after a cut: the journal must be just as it was after the last acknowledged change, or after the next one."""
    connection = open_snapshot(state, 1000)
    damage = damage_of(connection, state) if connection else []
    if connection:
        connection.close()
    journal = Journal(state, device.artifact.digest, Settings(kept_generations=4), now)
    found = read_life(journal)
    if damage or found not in recording.lives[done : done + 2]:
        known = recording.lives.index(found) if found in recording.lives else None
        return f"{done} acknowledged; {damage or ('as after ' + str(known) if known is not None else 'as never before')}"
    journal.close()
    if goes_on:  # the next writer goes on, and what it gives is right
        with device.agent(state) as agent:
            device.teach(agent, 0)
        return "; ".join(device.faults_of(state)) or None
    return None


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """Record a life for each 4 000 trials, and cut it."""
    if not available():
        pytest.skip("Python's sqlite3 has SQLite built in: nothing can be recorded below it")
    device, failures, boundaries, home = Field(folder), list[str](), 0, MEMORY if os.access(MEMORY, os.W_OK) else folder
    for start in range(0, trials, 4000):
        (folder / f"life-{start}").mkdir()
        recording = record(device, folder / f"life-{start}")
        syncs = [place for place, event in enumerate(recording.events) if event.kind in ("sync", "folder", "done")]
        for number in range(start, min(trials, start + 4000)):
            rng = random.Random(f"{seed} {number}")
            if number % 3:  # at a boundary: before it, and behind it
                boundaries += 1
                place = rng.choice(syncs) + rng.randint(0, 1)
            else:
                place = rng.randint(0, len(recording.events))
            files, done = cut(recording.events[:place], rng)
            state = Path(home, f"power-cut-{os.getpid()}", "state")
            try:
                if files is not None:
                    state.mkdir(parents=True)
                    for name, content in files.items():
                        (state / name).write_bytes(content)
                    mark = _mark(recording, done, rng)
                    if mark is not None:
                        (state / MARK_NAME).write_bytes(mark)
                fault = _fault_of(recording, device, state, done, number % 20 == 0)
            except EdgeAgentError as error:
                fault = f"{done} acknowledged; {error.message}"
            except Exception as error:  # nothing that a disk holds may make the program fall
                fault = f"{done} acknowledged; unexpected {type(error).__name__}: {error}"
            finally:
                shutil.rmtree(state.parent, ignore_errors=True)
            if fault:
                failures.append(f"trial {number}, seed {seed}, cut behind event {place}: {fault}")
    facts: dict[str, int | float | str] = {"cuts at a sync": boundaries, "changes in a life": LIFE}
    return Outcome(trials, tuple(failures), facts)


Runner = Callable[[int, int, Path], Outcome]
FAULTS = (
    Fault(
        "D2", "a power cut: recorded writes of database, log and mark kept, dropped, torn and mixed, at every sync boundary",
        "0 acknowledged lost, 0 damaged; the journal is as after the last acknowledged change, or the next; the next writer goes on",
        "cut", 500, 20_000, run,
    ),
)  # fmt: skip
