"""K1: eight writers and eight readers on one state. No number is given twice or left out, and every head that is seen was committed.

Each writer teaches, and takes every second one of its own back, so that the set that acts stays as large as a real one. It says through a
pipe which correction and which generation each change gave; readers say which generation answered them, and by which head. At the end the
journal must hold each of them, and every pair of generation and head that a reader saw must be one that a writer committed.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fault import Fault, Outcome
from field import Field, in_memory

from edge_agent.settings import Settings

WRITERS, READERS = 8, 8
SETTINGS = Settings(wait_ms=120_000, keep_pictures=False)
LOOK_EVERY_S = 0.005


def started(work: Callable[[int], None]) -> tuple[int, int]:
    """A forked process that writes lines into a pipe."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child:
        os.close(sending)
        return child, receiving
    try:
        os.close(receiving)
        work(sending)
    except BaseException as error:
        os.write(sending, f"error {type(error).__name__}: {error}\n".replace("\n", " ").encode() + b"\n")
    finally:
        os._exit(0)


def write(device: Field, state: Path, writer: int, count: int) -> Callable[[int], None]:
    """A writer's life."""

    def work(pipe: int) -> None:
        with device.agent(state, SETTINGS) as agent:
            for number in range(count):
                seen, label = device.seen[(writer + number) % len(device.seen)], device.labels[(writer * 3 + number) % len(device.labels)]
                done = agent.correct(seen, label, views=0, force=True)
                serving = agent._keeper._serving
                assert serving is not None
                os.write(pipe, f"made {done.id} {label} {serving.generation} {serving.head.digest()}\n".encode())
                if number % 2:
                    back = agent.undo(done.id)
                    os.write(pipe, f"undone {done.id} {back.generation} {back.head_sha256}\n".encode())

    return work


def read(device: Field, state: Path, stop: Path) -> Callable[[int], None]:
    """A reader's life: it looks until it is told to stop, and once more."""

    def work(pipe: int) -> None:
        with device.agent(state, SETTINGS) as agent:
            last, goes_on = -1, True
            while goes_on:
                goes_on = not stop.exists()
                serving = agent._keeper.current()
                if serving.generation < last:
                    os.write(pipe, f"error generation {serving.generation} came after {last}\n".encode())
                if serving.generation != last:
                    os.write(pipe, f"saw {serving.generation} {serving.head.digest()}\n".encode())
                last = serving.generation
                time.sleep(LOOK_EVERY_S)

    return work


def lines_of(pipes: list[int]) -> list[list[str]]:
    """Everything that came through these pipes, to their ends; read at once, so that no writer waits for us."""
    content, open_pipes = dict.fromkeys(pipes, b""), set(pipes)
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while open_pipes:
            for key, _ in selector.select(60):
                block = os.read(key.fd, 65536)
                content[key.fd] += block
                if not block:
                    selector.unregister(key.fd)
                    open_pipes.discard(key.fd)
                    os.close(key.fd)
    return [content[pipe].decode().splitlines() for pipe in pipes]


def judged(device: Field, state: Path, lines: list[str], writers: int, count: int) -> list[str]:
    """What is missing, given twice, or was seen and never committed."""
    failures = [line for line in lines if line.startswith("error")]
    made = [line.split() for line in lines if line.startswith("made")]
    undone = [line.split() for line in lines if line.startswith("undone")]
    seen = [line.split() for line in lines if line.startswith("saw")]
    with device.agent(state, SETTINGS) as agent:
        history = {entry.id: entry for entry in agent._journal.history()}
    numbers = sorted(int(line[1]) for line in made)
    if numbers != list(range(1, writers * count + 1)) or sorted(history) != numbers:
        failures.append(f"{len(numbers)} corrections were acknowledged, {len(history)} are in the journal, {writers * count} were made")
    failures += [f"correction {line[1]} is not what was acknowledged" for line in made if history[int(line[1])].label != line[2]]
    failures += [f"the undo of {line[1]} is lost" for line in undone if history[int(line[1])].undone_at is None]
    committed = {(int(line[3]), line[4]) for line in made} | {(int(line[2]), line[3]) for line in undone}
    generations = [number for number, _ in committed]
    if len(set(generations)) != len(generations) or sorted(generations) != list(range(1, len(generations) + 1)):
        failures.append("a generation was given twice, or left out")
    failures += [f"a reader saw generation {line[1]} with a head that was never committed" for line in seen
                 if int(line[1]) and (int(line[1]), line[2]) not in committed]  # fmt: skip
    return failures + device.faults_of(state)


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """`trials` corrections in all, by eight writers."""
    device, count = Field(folder), -(-trials // WRITERS)
    with in_memory(folder) as memory:
        state, stop, began = memory / "state", memory / "stop", time.monotonic()
        with device.agent(state, SETTINGS) as agent:
            agent.queue.offer(device.seen[0])  # the state is there
        readers = [started(read(device, state, stop)) for _ in range(READERS)]
        writers = [started(write(device, state, number, count)) for number in range(WRITERS)]
        heard = list[list[str]]()
        listener = threading.Thread(target=lambda: heard.extend(lines_of([pipe for _, pipe in writers + readers])))
        listener.start()
        for child, _ in writers:
            os.waitpid(child, 0)
        stop.touch()
        for child, _ in readers:
            os.waitpid(child, 0)
        listener.join()
        took = time.monotonic() - began
        lines = [line for lines in heard for line in lines]
        failures = judged(device, state, lines, WRITERS, count)
        looks = sum(line.startswith("saw") for line in lines)
    facts: dict[str, int | float | str] = {"heads seen by readers": looks, "changes a second": round(1.5 * WRITERS * count / took, 1)}
    return Outcome(WRITERS * count, tuple(failures), facts)


FAULTS = (
    Fault(
        "K1", "8 writers and 8 readers on one state",
        "no number given twice or left out, nothing acknowledged lost; every head that a reader sees is a committed one",
        "correction", 200, 4000, run,
    ),
)  # fmt: skip
