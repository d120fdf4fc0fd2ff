"""`make bench-queue`: what a person's answers bring when the queue chooses the pictures, beside random picking and the literature's scores.

A stream of photos arrives in rounds; after each round the person answers a few questions. An answer is a correction where the model is
wrong. What the queue's settings were chosen on (`--part tuning`, a third of the photos) is never in what is reported (`--part report`).
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import click
import numpy as np
from askers import ASKERS, Asker
from learning_tables import markdown_table
from looks import ORDER, Look, look_at
from numpy.typing import NDArray
from photos import opened, photos_in
from queue_tables import rows_of
from rich.console import Console
from rich.progress import Progress

from edge_agent import EdgeAgent, __version__

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


def of_part(names: Sequence[str], part: str) -> NDArray[np.int64]:
    """Places of the third for tuning, of the rest for the report, or of all; a photo's name decides, the same on every machine."""
    first = np.array([hashlib.sha256(name.encode()).digest()[0] for name in names])
    chosen = np.ones(len(names), bool) if part == "all" else (first % 3 == 0) == (part == "tuning")
    return np.flatnonzero(chosen)


def run(asker: Asker, stream: Look, judged: dict[str, Look], amount: Amount, rng: np.random.Generator) -> dict[str, float]:
    """One stream with one way to choose.

    Args:
        asker: chooses and teaches.
        stream: the photos that may be asked about.
        judged: what is measured on: "there", and "clean" where that is something else.
        amount: answers.
        rng: orders the stream.
    """
    agent, asked, found = asker.agent, 0, 0
    facts = _accuracies(agent, judged, "before")
    for arriving in np.array_split(rng.permutation(len(stream.names)), max(1, amount.answers // amount.round)):
        for place in arriving.tolist():
            asker.offer(place)
        for _ in range(amount.round):
            place = asker.ask()
            if place is None:
                break
            asked += 1
            truth = int(stream.labels[place])
            found += int(agent.head.logits(stream.at([place]).seen)[0].argmax() != truth)
            asker.answer(place, agent.labels[truth])
            if asked in (amount.answers // 2, amount.answers):
                facts |= _accuracies(agent, judged, f"after {asked}") | {f"mistakes of {asked}": float(found)}
    refused = sum(entry.verdict == "refused" for entry in agent.history())
    return {**facts, "asked": float(asked), "mistakes": float(found), "refused": float(refused), "pictures": float(len(stream.names))}


def _accuracies(agent: EdgeAgent, judged: dict[str, Look], when: str) -> dict[str, float]:
    answers = {what: agent.head.logits(look.seen).argmax(1) == look.labels for what, look in judged.items()}
    return {f"{what} {when} %": float(right.mean() * 100) for what, right in answers.items()}


def measured(agent: EdgeAgent, folder: Path, amount: Amount, names: tuple[str, ...], kept: Path) -> Results:
    """Every way to choose on every scene for every seed; each seed has an installation of its own."""
    results: Results = {name: {} for name in names}
    photos = photos_in(folder, ORDER, 1_000_000)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=None)

        def note(text: str) -> None:
            progress.update(task, description=text)

        clean = look_at(agent, photos, None, kept, note)
        for seed in range(amount.seeds):
            order = np.random.default_rng(seed).permutation(of_part(clean.names, amount.part))
            judged, stream = order[: amount.others], order[amount.others :]
            field = look_at(agent, photos, seed, kept, note)
            for scene, look in (("clean", clean), ("field", field)):
                on = {"there": look.at(judged)} | ({"clean": clean.at(judged)} if look is field else {})
                for name in names:
                    note(f"seed {seed}, {scene}, {name}")
                    asker = ASKERS[name](agent, look.at(stream), np.random.default_rng(4000 + seed))
                    found = run(asker, look.at(stream), on, amount, np.random.default_rng(3000 + seed))
                    results[name].setdefault(scene, []).append(found)
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
        results = measured(agent, folder, amount, only or tuple(ASKERS), output)
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
