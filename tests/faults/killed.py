"""D1 and K2: writers that `kill -9` ends at any moment. Everything is started once and inherited by a fork, so a trial takes milliseconds.

What a writer has acknowledged comes through a pipe, one line after `correct` or `undo` has returned. The kill comes after a random time,
or within the next few lines: the first finds the long parts of a change, the second its ends.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from fault import Fault, Outcome
from field import Field, in_memory

from edge_agent.errors import EdgeAgentError

LIFE = 20  # kills before the state begins anew
LONGEST_S = 0.02
MOST_S = 1.0  # after a kill the next writer goes on within
Writer = Callable[[int], None]


def forked(device: Field, state: Path, first: int) -> tuple[int, int]:
    """A process that changes the state again and again; its id, and the end of its pipe."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child:
        os.close(sending)
        return child, receiving
    status = 1
    try:
        with device.agent(state) as agent:
            for number in range(first, first + 1000):
                os.write(sending, f"{device.teach(agent, number)}\n".encode())
    except EdgeAgentError as error:
        os.write(sending, f"error {error}\n".encode())
    finally:
        os._exit(status)


def killed(child: int, receiving: int, rng: random.Random) -> list[str]:
    """Kill it after a random time from its first line on, or at one of its next lines; what it has acknowledged."""
    said, lines = b"", rng.randint(1, 4) if rng.random() < 0.3 else 1
    while said.count(b"\n") < lines and select.select([receiving], [], [], 10)[0]:
        block = os.read(receiving, 65536)
        if not block:
            break
        said += block
    if lines == 1:
        time.sleep(rng.random() * LONGEST_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while block := os.read(receiving, 65536):
        said += block
    os.close(receiving)
    return said.decode().splitlines()


def missing(device: Field, state: Path, acknowledged: list[str]) -> list[str]:
    """What was acknowledged and is not there, whatever else is wrong with the state."""
    found = device.faults_of(state)
    if found:
        return found
    with device.agent(state) as agent:
        known = {entry.id: entry for entry in agent._journal.history()}
    for line in acknowledged:
        word, value = line.split(" ", 1)
        if word == "error":
            found.append(f"a writer failed: {value}")
        elif word == "undo":
            entry = known.get(int(value))
            found += [] if entry is not None and entry.undone_at else [f"the undo of {value} was acknowledged and is lost"]
        else:
            entry = known.get(int(word))
            found += [] if entry is not None and entry.label == value else [f"correction {word} was acknowledged and is lost"]
    return found


def kill_while_correcting(trials: int, seed: int, folder: Path) -> Outcome:
    """D1: one writer, killed, again and again on the same state."""
    device, failures, acknowledged, said = Field(folder), list[str](), 0, list[str]()
    state = folder / "state"
    for number in range(trials):
        if number % LIFE == 0:
            shutil.rmtree(state, ignore_errors=True)
            said = []
        new = killed(*forked(device, state, number % LIFE * 3), random.Random(f"{seed} {number}"))
        acknowledged, said = acknowledged + len(new), said + new
        failures += [f"trial {number}, seed {seed}: {fault}" for fault in missing(device, state, said)[:3]]
    return Outcome(trials, tuple(failures), {"acknowledged changes": acknowledged})


def kill_among_writers(trials: int, seed: int, folder: Path) -> Outcome:
    """K2: three writers at once; one is killed, and the others, and a new one, go on by themselves and soon."""
    device, failures, slowest, said = Field(folder), list[str](), 0.0, list[str]()
    state, running = folder / "state", list[tuple[int, int]]()
    for number in range(trials):
        rng = random.Random(f"{seed} {number}")
        if number % LIFE == 0:
            for pair in running:
                said += killed(*pair, rng)
            shutil.rmtree(state, ignore_errors=True)
            running, said = [forked(device, state, place) for place in range(3)], []
        said += killed(*running.pop(0), rng)
        started = time.monotonic()
        with device.agent(state) as agent:
            try:
                said.append(device.teach(agent, number % 8))
            except EdgeAgentError as error:
                said.append(f"error {error}")
        took = time.monotonic() - started
        slowest = max(slowest, took)
        if took > MOST_S:
            failures.append(f"trial {number}, seed {seed}: the next writer took {took:.1f} s")
        running.append(forked(device, state, number % LIFE))
        if number % LIFE == LIFE - 1 or number == trials - 1:
            for pair in running:
                said += killed(*pair, rng)
            running = []
            failures += [f"trial {number}, seed {seed}: {fault}" for fault in missing(device, state, said)[:3]]
    return Outcome(trials, tuple(failures), {"slowest next write, ms": round(1000 * slowest)})


def _within(run: Callable[[int, int, Path], Outcome]) -> Callable[[int, int, Path], Outcome]:
    def inner(trials: int, seed: int, folder: Path) -> Outcome:
        with in_memory(folder) as memory:
            return run(trials, seed, memory)

    return inner


FAULTS = (
    Fault(
        "D1", "`kill -9` at a random moment while correcting and undoing; acknowledgements read through a pipe",
        "0 acknowledged lost, 0 damaged, the head bit-equal to what the corrections give", "kill", 200, 10_000,
        _within(kill_while_correcting),
    ),
    Fault(
        "K2", "one of three writers on one state killed at a random moment",
        "the next writer goes on within 1 s, by itself; nothing acknowledged is lost", "kill", 20, 1000,
        _within(kill_among_writers),
    ),
)  # fmt: skip
