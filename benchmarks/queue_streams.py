"""`make bench-queue`: what a person's answers bring when the queue chooses the pictures, beside random picking and the literature's scores.

A stream of photos arrives in rounds; after each round the person answers a few questions. An answer is a correction where the model is
wrong. What the queue's settings were chosen on (`--part tuning`, a third of the photos) is never in what is reported (`--part report`).
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import click
import numpy as np
from askers import ASKERS, Asker
from learning_tables import markdown_table
from measures import Scene, scenes
from numpy.typing import NDArray
from photos import Photo, opened, photos_in
from queue_tables import rows_of
from rich.console import Console
from rich.progress import Progress

from edge_agent import EdgeAgent, __version__
from edge_agent.runtime import Seen

ROOT = Path(__file__).resolve().parent.parent
Results = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True)
class Amount:
    """How much is measured: seeds, photos that are never asked about, answers in all and in each round, which part of the photos."""

    seeds: int
    others: int
    answers: int
    round: int
    part: str


def of_part(photos: list[Photo], part: str) -> list[Photo]:
    """The third for tuning, the rest for the report, or all; a photo's name decides, so that it is the same on every machine."""

    def is_for_tuning(photo: Photo) -> bool:
        return hashlib.sha256(f"{photo.label}/{photo.path.name}".encode()).digest()[0] % 3 == 0

    return [photo for photo in photos if part == "all" or is_for_tuning(photo) == (part == "tuning")]


def run(asker: Asker, scene: Scene, amount: Amount, rng: np.random.Generator) -> dict[str, float]:
    """One stream with one way to choose."""
    truths, agent = scene.pool_labels, asker.agent
    rounds = max(1, amount.answers // amount.round)
    asked = found = 0
    facts = _accuracies(agent, scene, "before")
    for arriving in np.array_split(rng.permutation(len(truths)), rounds):
        for place in arriving.tolist():
            asker.offer(place)
        for _ in range(amount.round):
            place = asker.ask()
            if place is None:
                break
            asked += 1
            found += int(agent.head.logits(scene.pool[place].seen)[0].argmax() != truths[place])
            asker.answer(place, agent.labels[truths[place]])
            if asked in (amount.answers // 2, amount.answers):
                facts |= _accuracies(agent, scene, f"after {asked}") | {f"mistakes of {asked}": float(found)}
    entries = agent.history()
    refused = sum(entry.verdict == "refused" for entry in entries)
    return {**facts, "asked": float(asked), "mistakes": float(found), "refused": float(refused)}


def _accuracies(agent: EdgeAgent, scene: Scene, when: str) -> dict[str, float]:
    pairs = {"there": (scene.field, scene.field_labels), "clean": (scene.others, scene.other_labels)}
    if scene.name == "clean":
        pairs["there"] = pairs.pop("clean")
    return {f"{what} {when} %": _accuracy(agent, *pair) for what, pair in pairs.items()}


def _accuracy(agent: EdgeAgent, seen: Seen, labels: NDArray[np.int64]) -> float:
    return float((agent.head.logits(seen).argmax(1) == labels).mean() * 100)


def measured(agent: EdgeAgent, folder: Path, amount: Amount, names: tuple[str, ...]) -> Results:
    """Every way to choose on every scene for every seed."""
    results: Results = {name: {} for name in names}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=None)
        for seed in range(amount.seeds):
            photos = of_part(photos_in(folder, seed, 1_000_000), amount.part)
            for scene in scenes(agent, photos[amount.others :], photos[: amount.others], seed):
                for name in names:
                    progress.update(task, description=f"seed {seed}, {scene.name}, {name}")
                    asker = ASKERS[name](agent, scene.pool, np.random.default_rng(4000 + seed))
                    found = run(asker, scene, amount, np.random.default_rng(3000 + seed))
                    results[name].setdefault(scene.name, []).append({**found, "pictures": float(len(scene.pool))})
                    asker.agent.close()
    return results


@click.command()
@click.option("--artifact", type=click.Path(exists=True, path_type=Path), default=ROOT / "artifacts/default", show_default=False)
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of one folder per label.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--others", default=1000, show_default=True, help="Photos that are never asked about.")
@click.option("--answers", default=200, show_default=True, help="Of the person, in all.")
@click.option("--round", "each", default=10, show_default=True, help="Answers before more pictures arrive.")
@click.option("--part", type=click.Choice(["report", "tuning", "all"]), default="report", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(ASKERS)), help="Ways to choose; default: every one.")
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "out/queue", show_default=False, help="For the JSON.")
def main(
    artifact: Path, photos: Path, seeds: int, others: int, answers: int, each: int, part: str, only: tuple[str, ...], output: Path
) -> None:
    """Measure, print the tables, and write results.json."""
    started, amount = time.monotonic(), Amount(seeds, others, answers, each, part)
    with opened(photos) as folder:
        agent = EdgeAgent.open(artifact, state=output / "no-state")
        results = measured(agent, folder, amount, only or tuple(ASKERS))
    about = {
        "artifact": agent.artifact.digest, "model": agent.artifact.manifest.model.name, "edge_agent": __version__,
        "python": platform.python_version(), "machine": platform.machine(), "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    found = {**about, "amount": asdict(amount), "results": results}
    (output / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    for scene in next(iter(results.values())):
        print(f"{scene}\n{markdown_table(*rows_of(found, scene))}\n")
    print(f"{time.monotonic() - started:.0f} s; {output}/results.json")


if __name__ == "__main__":
    main()
