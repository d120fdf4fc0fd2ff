"""D4, the state's half: one bit flipped, a file cut, or the journal replaced by an older valid one; everything read back each time.

What is read must be byte for byte what was written, or be named: by an error of ours, or as a head that has to be solved again. The trials
run in a forked process, a few thousand each, so that a crash inside SQLite would be a failure and not the end of the row.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fault import Fault, Outcome
from field import Field, in_memory, now

from edge_agent.errors import EdgeAgentError
from edge_agent.journal import Journal
from edge_agent.journal_file import FILE_NAME
from edge_agent.journal_mark import MARK_NAME
from edge_agent.settings import Settings
from edge_agent.state_check import damage_of
from edge_agent.state_reader import open_snapshot

CHUNK = 5000
CHANGES = 3
LOOKED_AT = 0.2  # of the trials are shown to `state check` too, which takes as long as the rest
SETTINGS = Settings(kept_generations=2, keep_pictures=True)
Read = Callable[[Journal], object]
READS: dict[str, Read] = {
    "head": lambda journal: _head(journal),
    "labels": Journal.added_labels,
    "corrections": lambda journal: [(r.id, r.label, r.seen.context.tobytes(), r.seen.logits.tobytes()) for r in journal.records()],
    "history": Journal.history,
    "pictures": lambda journal: [journal.picture(number) for number in range(1, CHANGES + 1)],
}
NAMED = "named"


def _head(journal: Journal) -> object:
    found = journal.generation()
    return NAMED if found.head is None else (found.number, found.head.digest(), found.labels)


def read_all(folder: Path, digest: str) -> dict[str, object]:
    """What each way of reading gives, or `NAMED` where it says what is wrong."""
    journal, found = Journal(folder, digest, SETTINGS, now), dict[str, object]()
    try:
        for name, read in READS.items():
            try:
                found[name] = read(journal)
            except EdgeAgentError:
                found[name] = NAMED
    finally:
        journal.close()
    return found


def is_named(folder: Path) -> bool:
    """Whether a look at everything, as `edge-agent state check` takes it, finds something."""
    try:
        connection = open_snapshot(folder, 0)
        if connection is None:
            return True
        try:
            return bool(damage_of(connection, folder))
        finally:
            connection.close()
    except EdgeAgentError:
        return True


def damaged(states: list[dict[str, bytes]], rng: random.Random) -> tuple[str, dict[str, bytes]]:
    """One fault, and the files with it; the last of the states is today's, the others are older ones."""
    files = dict(states[-1])
    name = MARK_NAME if rng.random() < 0.02 else FILE_NAME
    way = rng.random()
    if way < 0.9:
        data = bytearray(files[name])
        place, bit = rng.randrange(len(data)), rng.randrange(8)
        data[place] ^= 1 << bit
        files[name] = bytes(data)
        return f"{name}: bit {bit} of byte {place}", files
    if way < 0.97:
        size = rng.randrange(len(files[name]))
        files[name] = files[name][:size]
        return f"{name} cut to {size} bytes", files
    older = rng.randrange(len(states) - 1)
    files[FILE_NAME] = states[older][FILE_NAME]
    return f"{FILE_NAME} as it was {len(states) - 1 - older} changes before", files


def one(states: list[dict[str, bytes]], truth: dict[str, object], digest: str, folder: Path, rng: random.Random) -> tuple[str | None, bool]:
    """Make one fault, read everything, and judge; whether it was named at all."""
    what, files = damaged(states, rng)
    for name in (FILE_NAME, MARK_NAME):
        if files[name] is not states[-1][name] or not (folder / name).exists():
            (folder / name).write_bytes(files[name])
    try:
        found = read_all(folder, digest)
        silent = [name for name in READS if found[name] not in (NAMED, truth[name]) and not _is_none_of(found[name], truth[name])]
        was_named = NAMED in found.values() or found["pictures"] != truth["pictures"]
        if rng.random() < LOOKED_AT:
            was_named |= is_named(folder)
        is_rolled_back = files[FILE_NAME] in [state[FILE_NAME] for state in states[:-1]]  # valid in itself: the mark names it
        is_told = is_rolled_back and found["corrections"] == NAMED
        fault = f"{what}: {', '.join(silent)} differ, and nothing says so" if silent and not is_told else None
    except Exception as error:
        fault, was_named = f"{what}: unexpected {type(error).__name__}: {error}", False
    for name in (FILE_NAME, MARK_NAME):
        if files[name] is not states[-1][name]:
            (folder / name).write_bytes(states[-1][name])
    for name in (f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
        with suppress(FileNotFoundError):
            (folder / name).unlink()
    return fault, was_named


def _is_none_of(found: object, truth: object) -> bool:
    """A picture that is damaged is None; the others are what they were."""
    return isinstance(found, list) and isinstance(truth, list) and len(found) == len(truth) and all(
        a in (None, b) for a, b in zip(found, truth, strict=True)
    )


def states_of(device: Field, folder: Path) -> list[dict[str, bytes]]:
    """The files of a small state after each of its changes."""
    found = []
    for number in range(CHANGES):
        with device.agent(folder, SETTINGS) as agent:
            device.teach(agent, number)
            if number == 1:
                agent.add_label("newt")
        found.append({name: (folder / name).read_bytes() for name in (FILE_NAME, MARK_NAME)})
    return found


def chunk(numbers: range, seed: int, states: list[dict[str, bytes]], digest: str, folder: Path) -> tuple[list[str], int]:
    """Some trials in a process of their own."""
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        try:
            for name, data in states[-1].items():
                (folder / name).write_bytes(data)
            truth, failures, named = read_all(folder, digest), list[str](), 0
            for number in numbers:
                fault, was_named = one(states, truth, digest, folder, random.Random(f"{seed} {number}"))
                named += was_named
                failures += [f"trial {number}, seed {seed}: {fault}"] if fault else []
            with os.fdopen(sending, "wb") as pipe:
                pickle.dump((failures, named), pipe)
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(child, 0)
    found: Any = pickle.loads(content) if content else ([f"trials {numbers}, seed {seed}: the process ended with {status}"], 0)
    return found  # type: ignore[no-any-return]


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """Trials in chunks, on a file system in memory where there is one."""
    device, failures, named = Field(folder), list[str](), 0
    with in_memory(folder) as memory:
        states = states_of(device, memory / "made")
        for start in range(0, trials, CHUNK):
            state = memory / "state"
            state.mkdir()
            found, count = chunk(range(start, min(trials, start + CHUNK)), seed, states, device.artifact.digest, state)
            failures, named = failures + found, named + count
            shutil.rmtree(state)
    size = len(states[-1][FILE_NAME])
    return Outcome(trials, tuple(failures), {"named": named, "byte-equal and unnamed": trials - named - len(failures), "most bytes": size})


FAULTS = (
    Fault(
        "D4-state", "the state: one bit flipped, a file cut, or the journal replaced by an older valid one",
        "named, or what is read is byte for byte what was written; no traceback", "damage", 1000, 200_000, run,
    ),
)  # fmt: skip
