"""Where the time of one correction goes, part by part, and the floor of each: what cannot be saved while the rule stays what it is.

    python benchmarks/parts.py [--artifact DIR] [--remembered 32] [--write]

One thread; medians of turns in which every part is timed once, so that a machine that changes its speed changes all of them. `--write` puts
the table into docs/performance.md.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import numpy as np
from learning_tables import markdown_table, with_tables
from PIL import Image

from edge_agent import EdgeAgent
from edge_agent.engines import open_engine
from edge_agent.engines.contract import Batch
from edge_agent.head import Evidence, kernel
from edge_agent.image import open_picture, to_tensor
from edge_agent.learner import Learner
from edge_agent.providers import CPU
from edge_agent.settings import Settings
from edge_agent.speed import lessons

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance.md"
PHOTO = ROOT / "artifacts/field/airplane/0166.jpg"
TURNS, WARM_UP, BLOCK = 31, 5, 4096
NAMES = {
    "image": ("the picture: file to network input", "the same JPEG decoded by Pillow, to RGB"),
    "backbone": ("the backbone", "the pass itself"),
    "steps": ("the gradient steps", "the same number of training steps of ONNX Runtime on one row"),
    "solve": ("kernel, factor, coefficients around them", "the factorisation and the kernel's product"),
    "guard": ("the guard: the sentinel with the new head", "the kernel's product with the sentinel"),
    "rest": ("findings, verdict, the answer", "none"),
    "journal": ("the journal, with its commit", "as many bytes written to a file, and one fsync"),
}


def timed(what: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    what()
    return (time.perf_counter() - started) * 1000


class Bench:
    """One agent that remembers so many corrections, its parts at hand, and one lesson that it has yet to learn."""

    def __init__(self, agent: EdgeAgent, remembered: int, folder: Path) -> None:
        """Teach the first lessons."""
        taught = list(lessons(agent.artifact, remembered + 1))
        for seen, label in taught[:remembered]:
            agent.correct(seen, label, force=True)
        self.agent, self.lesson, self.folder = agent, taught[remembered], folder
        self.engine = open_engine(agent.artifact, "auto", CPU)[0]
        self.learner = Learner(agent.artifact, agent.settings, self.engine)
        records = agent._keeper.evidence(agent._keeper.current())
        self.evidence = (*records, Evidence(10_000, agent.labels.index(self.lesson[1]), self.lesson[0].seen))
        self.steps = 0

    def turn(self) -> tuple[dict[str, float], dict[str, float]]:
        """Every part once, and the floor of each, in milliseconds."""
        agent, (seen, label) = self.agent, self.lesson
        limits, spec = agent.settings.image_limits, agent.artifact.manifest.image
        data = PHOTO.read_bytes()
        tensor = to_tensor(open_picture(data, limits, "photo"), spec)[None]
        dry = timed(lambda: agent.correct(seen, label, force=True, dry_run=True))
        written = _written_bytes()
        whole = timed(lambda: agent.correct(seen, label, force=True))
        written = _written_bytes() - written
        agent.undo()
        solved, stepping = self._solve()
        serving, solution = agent._keeper.current(), self.learner.solve(self.evidence, 0)
        judging = timed(lambda: agent._keeper.guard.judge(serving.right, solution.head))
        parts = {
            "image": timed(lambda: to_tensor(open_picture(data, limits, "photo"), spec)),
            "backbone": timed(lambda: agent.run_backbone(tensor)),
            "steps": stepping, "solve": solved - stepping, "guard": judging, "rest": dry - solved - judging, "journal": whole - dry,
        }  # fmt: skip
        return parts, self._floors(data, parts["backbone"], solution.head.contexts, solution.head.exponent, written)

    def _solve(self) -> tuple[float, float]:
        """A solve, and the steps within it."""
        step, taken = self.engine.step, list[float]()

        def counted(batch: Batch, learning_rate: float) -> object:
            started = time.perf_counter()
            logits = step(batch, learning_rate)
            taken.append((time.perf_counter() - started) * 1000)
            return logits

        self.engine.step = counted  # type: ignore[method-assign, assignment]
        try:
            return timed(lambda: self.learner.solve(self.evidence, 0)), sum(taken)
        finally:
            self.engine.step, self.steps = step, len(taken)  # type: ignore[method-assign]

    def _floors(self, data: bytes, a_pass: float, contexts: np.ndarray, exponent: float, written: int) -> dict[str, float]:  # type: ignore[type-arg]
        between = kernel(contexts, contexts, exponent).astype(np.float64) + 1e-4 * np.eye(len(contexts))
        sentinel = self.agent.artifact.statistics.sentinel_context
        return {
            "image": timed(lambda: Image.open(io.BytesIO(data)).convert("RGB")), "backbone": a_pass, "steps": self._bare_steps(),
            "solve": timed(lambda: (np.linalg.cholesky(between), contexts @ contexts.T)),
            "guard": timed(lambda: sentinel @ contexts.T), "journal": timed(lambda: _flushed(self.folder / "floor", written)),
        }  # fmt: skip

    def _bare_steps(self) -> float:
        self.engine.reset(1)
        width, rows = self.engine.shape
        one = Batch(np.eye(1, rows, dtype=np.float32), np.zeros((1, width), np.float32), np.eye(1, width, dtype=np.float32),
                    np.ones(1, np.float32))  # fmt: skip
        return timed(lambda: [self.engine.step(one, 0.1) for _ in range(self.steps)])


def _written_bytes() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(lines["wchar"])


def _flushed(path: Path, size: int) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(os.urandom(BLOCK) * (size // BLOCK + 1))
        os.fsync(file.fileno())


def rows_of(parts: Mapping[str, float], floors: Mapping[str, float]) -> list[tuple[str, ...]]:
    """The table's rows: time, share, floor."""
    whole = sum(parts.values())
    return [
        (NAMES[part][0], f"{value:.2f}", f"{value / whole:.0%}", f"{floors[part]:.2f}" if part in floors else "–", NAMES[part][1])
        for part, value in parts.items()
    ] + [("**all**", f"{whole:.2f}", "100%", f"{sum(floors.values()):.2f}", "")]


@click.command()
@click.option("--artifact", type=click.Path(exists=True, path_type=Path), default=ROOT / "artifacts/default", show_default=False)
@click.option("--remembered", default=32, show_default=True)
@click.option("--write", is_flag=True, help="Into docs/performance.md.")
def main(artifact: Path, remembered: int, write: bool) -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory() as state:
        agent = EdgeAgent.open(artifact, state, settings=Settings(threads=1, keep_pictures=False))
        bench = Bench(agent, remembered, Path(state))
        turns = [bench.turn() for _ in range(WARM_UP + TURNS)][WARM_UP:]
        agent.close()
    parts, floors = ({part: statistics.median(turn[i][part] for turn in turns) for part in turns[0][i]} for i in (0, 1))
    titles = (f"{remembered} remembered, {bench.steps} steps", "ms", "share", "floor, ms", "what the floor is")
    table = markdown_table(titles, rows_of(parts, floors))
    print(table)
    if write:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), ("parts",), {"parts": table}), "utf-8")


if __name__ == "__main__":
    main()
