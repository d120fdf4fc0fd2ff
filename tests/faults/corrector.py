"""Corrects without end, and is killed: imports once, then forks a worker for every line on stdin.

A line is `seed milliseconds wait`. The worker corrects and undoes at random and says each acknowledged act on a pipe. It is killed after
that time, counted from its start, or with `wait` = 1 from when it is ready. What was acknowledged is printed as one line of JSON:
`[["correct", id], ["undo", id], …]`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

from on_device import ARTIFACT, PHOTOS, TRUTHS

import edge_agent.correcting
import edge_agent.ort
from edge_agent.agent import EdgeAgent
from edge_agent.settings import Settings

edge_agent.ort.import_onnxruntime()


def work(state: str, seed: int, pipe: int) -> None:
    """Correct, undo, reset; never returns."""
    rng = random.Random(seed)
    agent = EdgeAgent.open(ARTIFACT, state, settings=Settings(threads=1, kept_generations=3))
    seen = {place: agent.predict(photo) for place, photo in enumerate(PHOTOS)}
    os.write(pipe, b"[]\n")
    while True:
        place = rng.randrange(len(PHOTOS))
        active = [entry.id for entry in agent.history() if entry.active]
        if active and rng.random() < 0.25:
            said = ["undo", *agent.undo(rng.choice(active)).ids]
        else:
            label = TRUTHS[place] if rng.random() < 0.7 else rng.choice(TRUTHS)
            said = ["correct", agent.correct(seen[place], label, force=True).id]
        os.write(pipe, json.dumps(said).encode() + b"\n")


def main() -> None:
    for line in sys.stdin:
        seed, milliseconds, wait = line.split()
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                work(sys.argv[1], int(seed), writer)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            if wait == "1":
                pipe.readline()
            time.sleep(int(milliseconds) / 1000)
            os.kill(child, signal.SIGKILL)
            acknowledged = [said for said in map(json.loads, pipe.read().splitlines()) if said]
        _, status = os.waitpid(child, 0)
        if os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"the worker ended by itself: {status}")
        print(json.dumps(acknowledged), flush=True)


main()
