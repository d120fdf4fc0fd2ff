"""One correction with so many remembered beside a pass through a backbone, in turn: a machine that changes its speed changes both."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time

import numpy as np

from edge_agent import EdgeAgent
from edge_agent.settings import Settings
from edge_agent.speed import lessons

ARTIFACT, PASS, REMEMBERED, RUNS = sys.argv[1:]
WARM_UP, TURNS = 3, 15


def main() -> None:
    """For each number of remembered corrections, `RUNS` medians of `TURNS` turns each."""
    settings = Settings(threads=1, keep_pictures=False)
    counts = [int(count) for count in REMEMBERED.split(",")]
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as other:
        agent, beside = EdgeAgent.open(ARTIFACT, state, settings=settings), EdgeAgent.open(PASS, other, settings=settings)
        capacity = agent.settings.capacity_within(agent.artifact.manifest.capacity)
        counts = sorted({min(count, capacity) for count in counts})
        taught = list(lessons(agent.artifact, counts[-1] + TURNS + WARM_UP))
        found, active = [], 0
        for count in counts:
            for seen, label in taught[active:count]:
                agent.correct(seen, label, force=True)
            active = count
            found.append({"remembered": count, "runs": [turns(agent, beside, taught[counts[-1] :]) for _ in range(int(RUNS))]})
        agent.close()
        beside.close()
    print(json.dumps({"classes": len(agent.artifact.labels), "counts": found}))


def turns(agent: EdgeAgent, beside: EdgeAgent, taught: list) -> dict[str, float]:  # type: ignore[type-arg]
    """Medians of some turns: a correction solved and judged, the same acknowledged, a pass; and the steps that it took."""
    height, width = beside.artifact.manifest.image.crop_px
    image = np.random.default_rng(0).normal(size=(1, 3, height, width)).astype(np.float32)
    taken: dict[str, list[float]] = {"correct_ms": [], "acknowledged_ms": [], "pass_ms": []}
    steps = []
    for lesson in taught:
        for name, what in (
            ("correct_ms", lambda: steps.append(agent.correct(*lesson, force=True, dry_run=True).steps)),  # noqa: B023
            ("pass_ms", lambda: beside.run_backbone(image)),
            ("acknowledged_ms", lambda: agent.correct(*lesson, force=True)),  # noqa: B023
        ):
            started = time.perf_counter()
            what()
            taken[name].append((time.perf_counter() - started) * 1000)
        agent.undo()
    return {name: statistics.median(values[WARM_UP:]) for name, values in taken.items()} | {"steps": statistics.median(steps)}


main()
