"""`make bench-engines`: a step of the portable engine beside one of onnxruntime-training, same head, same batch, alternating.

The heads are written here, by `edge-export`'s own code, then measured in fresh processes without torch: one for the times of both
engines, and one each for the peak memory of a process that holds nothing else. Prints a Markdown table; exits with 1 when a ratio
misses its target.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from stand_in import engine_artifact

from edge_agent.artifact import Artifact
from edge_agent.engines import open_engine
from edge_agent.engines.conformance import a_batch
from edge_agent.engines.contract import HeadEngine

CLASSES, ROWS = (10, 1000), (32, 256)
ENGINES = ("portable", "onnxruntime-training")
TARGETS = {10: 1.5, 1000: 1.2}
MEMORY_TARGET = 1.2
STEPS = {10: 3000, 1000: 200}
TITLES = ("C", "R", "portable, ms", "onnxruntime-training, ms", "ratio", "target", "peak memory, MB", "ratio")


def write_head(folder: Path, classes: int, rows: int) -> None:
    """The graphs of a head of this shape, for both engines; needs torch."""
    from export.head_graph import Head, write_training
    from export.portable_step import write_step

    (folder / "portable").mkdir(parents=True)
    head = Head(classes, rows)
    write_training(head, folder / "training")
    write_step(head, folder / "portable/step.onnx")


def times_ms(artifact: Artifact, classes: int, rows: int) -> dict[str, float]:
    """Median milliseconds of a step of each engine, alternating, so that both meet the same machine."""
    engines: dict[str, HeadEngine] = {name: open_engine(artifact, name)[0] for name in ENGINES}
    batches = {}
    for name, engine in engines.items():
        engine.reset(rows)
        batches[name] = a_batch(artifact, rows, engine.shape[1])
    taken: dict[str, list[float]] = {name: [] for name in ENGINES}
    for _ in range(STEPS[classes]):
        for name, engine in engines.items():
            started = time.perf_counter()
            engine.step(batches[name], 1e-3)
            taken[name].append(time.perf_counter() - started)
    return {name: 1000 * float(np.median(seconds[len(seconds) // 10 :])) for name, seconds in taken.items()}


def peak_mb(artifact: Artifact, rows: int, name: str) -> float:
    """Peak memory of this process after fifty steps of one engine, in millions of bytes."""
    engine, _ = open_engine(artifact, name)
    engine.reset(rows)
    batch = a_batch(artifact, rows, engine.shape[1])
    for _ in range(50):
        engine.step(batch, 1e-3)
    # `resource` would tell the greatest of this process and of the one that started it
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else float("nan")


def measured(folder: Path, classes: int, rows: int, what: str) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(folder), str(classes), str(rows), what]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def line_of(folder: Path, classes: int, rows: int) -> tuple[str, bool]:
    """A line of the table, and whether it meets the targets."""
    write_head(folder, classes, rows)
    steps = measured(folder, classes, rows, "times")
    memory = {name: measured(folder, classes, rows, name)[name] for name in ENGINES}
    ratio, more = steps[ENGINES[0]] / steps[ENGINES[1]], memory[ENGINES[0]] / memory[ENGINES[1]]
    cells = (
        str(classes), str(rows), f"{steps[ENGINES[0]]:.3f}", f"{steps[ENGINES[1]]:.3f}", f"{ratio:.2f}", f"{TARGETS[classes]}",
        f"{memory[ENGINES[0]]:.0f} / {memory[ENGINES[1]]:.0f}", f"{more:.2f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |", ratio <= TARGETS[classes] and 1 / MEMORY_TARGET <= more <= MEMORY_TARGET


def main() -> None:
    """Measure every head and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--measure", nargs=4, metavar=("FOLDER", "C", "R", "WHAT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        folder, classes, rows, what = Path(given.measure[0]), int(given.measure[1]), int(given.measure[2]), given.measure[3]
        artifact = engine_artifact(folder, classes, rows)
        print(json.dumps(times_ms(artifact, classes, rows) if what == "times" else {what: peak_mb(artifact, rows, what)}))
        return
    lines, good = [], True
    with tempfile.TemporaryDirectory() as temporary:
        for classes in CLASSES:
            for rows in ROWS:
                line, fine = line_of(Path(temporary, f"{classes}-{rows}"), classes, rows)
                lines.append(line)
                good = good and fine
    print("\n".join([f"| {' | '.join(TITLES)} |", f"|{'---|' * len(TITLES)}", *lines]))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
