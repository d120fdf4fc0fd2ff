"""`make bench-learning`: corrections measured on real photos, this product beside its rivals, mean ± deviation over seeds."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import click
import numpy as np
from measures import Scene, beside_a_pass, scenes, seen_in, single, stream
from new_classes import SHOTS, new_class
from numpy.typing import NDArray
from photos import opened, photos_in
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rules import Adam, NearestMean, PartialFit, Product, Rule, Sgd, Slda, Start
from safetensors.numpy import load

from edge_agent import EdgeAgent, __version__
from edge_agent.runtime import Seen

ROOT = Path(__file__).resolve().parent.parent
Results = dict[str, dict[str, list[dict[str, float]]]]
LAST_LAYER = "last_layer.safetensors"
FITTING = 1000  # photos, or a third of those that are not judged, for the statistics of the rules that need some
SINGLE = ("right after %", "least p", "re-shots before %", "re-shots right %", "others unchanged %", "accuracy change", "worst change")
STREAMED = ("clean before %", "clean after %", "field before %", "field after %", "edits kept %", "correction ms")


@dataclass(frozen=True)
class Amount:
    """How much is measured: seeds, single corrections and photos that are never corrected for each, and the length of a stream."""

    seeds: int
    count: int
    others: int
    length: int
    rivals: bool
    views: int


def rules_for(agent: EdgeAgent, fitting: Seen, labels: NDArray[np.int64], amount: Amount) -> dict[str, Callable[[], Rule]]:
    """This product, and the rivals where the artifact has its last layer."""
    rules: dict[str, Callable[[], Rule]] = {"edge-agent": lambda: Product(agent, amount.views)}
    if not amount.rivals or LAST_LAYER not in agent.artifact.manifest.files:
        return rules
    layer = load(agent.artifact.read(LAST_LAYER))
    start = Start(layer["weight"], layer["bias"], fitting.features, labels)
    return rules | {
        "AdamW × 20": lambda: Adam(start, 20), "AdamW until p > .5": lambda: Adam(start, 1000, 0.5), "SGD until p > .5": lambda: Sgd(start),
        "Deep SLDA": lambda: Slda(start), "nearest class mean": lambda: NearestMean(start), "SGDClassifier": lambda: PartialFit(start),
    }  # fmt: skip


def measured(agent: EdgeAgent, folder: Path, amount: Amount) -> Results:
    """Every rule on every scene for every seed; classes added, where the artifact has its last layer."""
    results: Results = {}
    places = {label: place for place, label in enumerate(agent.labels)}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=None)
        for seed in range(amount.seeds):
            photos = photos_in(folder, seed, 1_000_000)
            judged, rest = photos[: amount.others], photos[amount.others :]
            fit = min(FITTING, len(rest) // 3)
            used, pool = rest[:fit], rest[fit:]
            fitting = seen_in([agent.predict(photo.path) for photo in used])
            labels = np.array([places[photo.label] for photo in used])
            for scene in scenes(agent, pool, judged, seed):
                for name, make in rules_for(agent, fitting, labels, amount).items():
                    progress.update(task, description=f"seed {seed}, {scene.name}, {name}")
                    one_rule(results.setdefault(name, {}), agent, scene, make, seed, amount)
                if scene.name == "clean" and LAST_LAYER in agent.artifact.manifest.files:
                    added = new_class(agent, scene, fitting, labels, seed)
                    results["edge-agent"].setdefault("new class", []).extend([added] if added else [])
    return results


def one_rule(
    results: dict[str, list[dict[str, float]]], agent: EdgeAgent, scene: Scene, make: Callable[[], Rule], seed: int, amount: Amount
) -> None:
    """Single corrections and a stream; from many cameras the stream alone."""
    if scene.name != "many cameras":
        results.setdefault(f"single/{scene.name}", []).append(single(agent, scene, make, seed, amount.count))
    results.setdefault(f"stream/{scene.name}", []).append(stream(scene, make, seed, amount.length))


def report(results: Results, amount: Amount) -> None:
    """Every table."""
    for scene in ("clean", "field"):
        title = f"one correction, {scene} photos ({amount.count} mistakes × {amount.seeds} seeds, {amount.others} others)"
        show(results, f"single/{scene}", SINGLE, title)
    for scene in ("clean", "field", "many cameras"):
        show(results, f"stream/{scene}", STREAMED, f"{amount.length} corrections in a row, {scene}")
    if results["edge-agent"].get("new class"):
        show(results, "new class", tuple(results["edge-agent"]["new class"][0]), f"a class added: {', '.join(map(str, SHOTS))} shots")


def show(results: Results, part: str, columns: tuple[str, ...], title: str) -> None:
    """A table of one part: mean ± deviation over the seeds; the worst of all for what is called worst."""
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", title_style="bold")
    table.add_column("rule")
    for column in columns:
        table.add_column(column, justify="right")
    for name, parts in ((name, parts) for name, parts in results.items() if part in parts):
        values = [[run[column] for run in parts[part]] for column in columns]
        cells = [
            f"{min(v):.2f}" if column.startswith(("worst", "least")) else f"{np.mean(v):.2f} ± {np.std(v):.2f}"
            for v, column in zip(values, columns, strict=True)
        ]
        table.add_row(name, *cells)
    Console(width=150).print(table)


def plot(results: Results, path: Path) -> None:
    """Harm against gain: what a correction brings its re-shots, and what it costs the others."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2))
    for name, parts in results.items():
        runs = parts["single/clean"]
        x, y = (np.mean([run[key] for run in runs]) for key in ("others unchanged %", "re-shots right %"))
        axes[0].scatter(x, y)
        axes[0].annotate(name, (x, y), textcoords="offset points", xytext=(5, 4), fontsize=8)
        streamed = parts["stream/field"]
        change = [np.mean([run[f"{what} after %"] - run[f"{what} before %"] for run in streamed]) for what in ("field", "clean")]
        axes[1].plot([0, 1], change, marker="o", label=name)
    axes[0].set(xlabel="other predictions unchanged, %", ylabel="re-shots of the corrected picture right, %", title="one correction")
    axes[1].set(xticks=[0, 1], xticklabels=["in the field", "clean"], ylabel="accuracy change, points", title="200 corrections")
    axes[1].axhline(0, color="grey", linewidth=0.5)
    axes[1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def speed(agent: EdgeAgent, reference: Path, folder: Path) -> dict[str, float]:
    """One correction with 32 remembered beside a pass of the reference network."""
    photos = photos_in(folder, 0, 1500)
    timing = beside_a_pass(agent, EdgeAgent.open(reference, state="no-state"), next(scenes(agent, photos[100:], photos[:100], 0)))
    print(
        f"one correction, 32 remembered, predict done before, disk left out: {timing['correction ms']:.2f} ms; "
        f"a pass of {reference}: {timing['pass ms']:.2f} ms; ratio {timing['ratio']:.2f}\n"
    )
    return timing


@click.command()
@click.option("--artifact", type=click.Path(exists=True, path_type=Path), default=ROOT / "artifacts/default", show_default=False)
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of one folder per label.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--count", default=50, show_default=True, help="Single corrections for each seed and scene.")
@click.option("--others", default=2000, show_default=True, help="Photos that are never corrected.")
@click.option("--length", default=200, show_default=True, help="Corrections in a stream.")
@click.option("--views", default=0, show_default=True, help="Views remembered with each correction.")
@click.option("--rivals/--no-rivals", default=True, show_default=True)
@click.option("--reference", type=click.Path(exists=True, path_type=Path), help="An artifact whose backbone pass is timed beside.")
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "out/learning", show_default=False, help="For JSON and plot.")
def main(
    artifact: Path,
    photos: Path,
    seeds: int,
    count: int,
    others: int,
    length: int,
    views: int,
    rivals: bool,
    reference: Path | None,
    output: Path,
) -> None:
    """Measure, print the tables, and write results.json and plot.png."""
    started, amount = time.monotonic(), Amount(seeds, count, others, length, rivals, views)
    with opened(photos) as folder:
        agent = EdgeAgent.open(artifact, state=output / "no-state")
        results = measured(agent, folder, amount)
        timing = speed(agent, reference, folder) if reference else {}
    report(results, amount)
    output.mkdir(parents=True, exist_ok=True)
    about = {
        "artifact": agent.artifact.digest, "model": agent.artifact.manifest.model.name, "edge_agent": __version__,
        "python": platform.python_version(), "machine": platform.machine(), "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }  # fmt: skip
    found = {**about, "amount": asdict(amount), "results": results, "timing": timing}
    (output / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    if rivals:
        plot(results, output / "plot.png")
    print(f"{time.monotonic() - started:.0f} s; {output}/results.json")


if __name__ == "__main__":
    main()
