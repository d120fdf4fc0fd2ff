"""`make bench`: this product beside what one would use instead; same photos, same network, one machine, each rival in a process of its own.

Rivals take turns, round after round, so that a machine that changes its speed changes all of them. Every figure has the minimum, the median
and the maximum of the rounds. Harm is not measured here: `make bench-learning` does.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from bench_tables import claims
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rivals.measuring import STARTED, spread

from edge_agent import __version__

ROOT = Path(__file__).resolve().parent.parent
RIVALS = ROOT / "benchmarks/rivals"
PHOTOS = ROOT / "artifacts/field"
TRAINED = ROOT / "artifacts/default"
SIDE = "224"
REMEMBERED = {"0,32,256": 10, "0,32,128": 100, "0,32,64": 1000}
INSTALLED = {"edge-agent": "onnx-edge-agent", "PyTorch": "torch torchvision pillow", "scikit-learn": "scikit-learn", "river": "river",
             "LiteRT": "ai-edge-litert pillow"}  # fmt: skip
Figures = dict[str, Any]


@dataclass(frozen=True)
class Rival:
    """A program to run: its name in the tables, the Python of its environment, and its command line."""

    name: str
    python: Path
    command: tuple[str, ...]


def rivals(
    networks: Path, weights: Path, device: Path, workstation: Path, others: Path, threads: str, runs: str
) -> list[Rival]:
    """Those whose environment is there; with all threads, those that run the network."""
    network, field = str(networks / "network-10"), str(PHOTOS)
    found = [
        Rival(name, device, ("with_edge_agent.py", field, str(networks / folder), engine, threads, runs))
        for name, folder, engine in (
            ("edge-agent", "network-10", "auto"), ("edge-agent, portable", "network-10", "portable"),
            ("edge-agent, int8", "int8-10", "auto"),
        )
    ]  # fmt: skip
    found += [
        Rival("PyTorch", workstation, ("with_pytorch.py", field, f"{network}.pth", str(weights), "10", SIDE, threads, runs)),
        Rival(
            "onnxruntime-training", device,
            ("with_onnxruntime_training.py", field, str(networks / "whole-network"), "10", SIDE, threads, runs),
        ),
        Rival("LiteRT", others / "litert/bin/python", ("with_litert.py", field, f"{network}.tflite", SIDE, threads, runs)),
    ]  # fmt: skip
    if threads == "1":
        features = str(networks / "features.npz")
        places = {"scikit-learn": (others / "sklearn/bin/python", "sklearn"), "river": (others / "river/bin/python", "river"),
                  "Deep SLDA": (device, "slda"), "nearest class mean": (device, "ncm")}  # fmt: skip
        found += [Rival(name, python, ("with_features.py", rule, features, runs)) for name, (python, rule) in places.items()]
    return [rival for rival in found if rival.python.exists() and (rival.name != "LiteRT" or Path(rival.command[2]).exists())]


def run(python: Path, command: tuple[str, ...], threads: str = "1") -> Figures:
    """What a program of `benchmarks/rivals` answers, from a fresh process."""
    limited = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if threads == "1" else {}
    environment = {**os.environ, **limited, "PYTHONPATH": str(ROOT), STARTED: repr(time.time())}
    done = subprocess.run([python, RIVALS / command[0], *command[1:]], env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{command[0]} failed in {python}:\n{done.stderr[-2000:]}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def rounds(found: list[Rival], threads: str, count: int, progress: Progress) -> dict[str, dict[str, dict[str, float]]]:
    """Every rival in turn, `count` times; the spread of each of its figures."""
    taken: dict[str, list[Figures]] = {rival.name: [] for rival in found}
    task = progress.add_task("", total=count * len(found))
    for _ in range(count):
        for rival in found:
            progress.update(task, description=f"{rival.name}, threads {threads}", advance=1)
            taken[rival.name].append(run(rival.python, rival.command, threads))
    progress.remove_task(task)
    return {name: {key: spread([figures[key] for figures in each]) for key in each[0]} for name, each in taken.items()}


def grown(device: Path, networks: Path, count: int, progress: Progress) -> list[Figures]:
    """Corrections beside a pass, for each number of labels and of remembered corrections, with trained and with random weights."""
    task, found = progress.add_task("", total=2 * len(REMEMBERED)), []
    kinds = {10: TRAINED, 100: networks / "trained-100", 1000: networks / "trained-1000"}
    cases = [("trained", kinds[classes], classes, remembered) for remembered, classes in REMEMBERED.items()]
    cases += [("random", networks / f"network-{classes}", classes, remembered) for remembered, classes in REMEMBERED.items()]
    for weights, artifact, classes, remembered in cases:
        progress.update(task, description=f"corrections, {classes} labels, {weights}", advance=1)
        beside = str(networks / f"network-{classes}")
        for each in run(device, ("beside_a_pass.py", str(artifact), beside, remembered, str(count)))["counts"]:
            figures = {key: spread([one[key] for one in each["runs"]]) for key in each["runs"][0]}
            ratio = spread([one["correct_ms"] / one["pass_ms"] for one in each["runs"]])
            found.append({"weights": weights, "classes": classes, "remembered": each["remembered"], **figures, "ratio": ratio})
    progress.remove_task(task)
    return found


def sizes(device: Path, workstation: Path, others: Path, networks: Path) -> dict[str, dict[str, Any]]:
    """What each takes on the disk: its distributions with all that they need, and what it reads."""
    places = {"edge-agent": device, "PyTorch": workstation, "scikit-learn": others / "sklearn/bin/python",
              "river": others / "river/bin/python", "LiteRT": others / "litert/bin/python"}  # fmt: skip
    found = {name: run(places[name], ("installed.py", *roots.split())) for name, roots in INSTALLED.items() if places[name].exists()}
    files = {"edge-agent": "network-10", "edge-agent, int8": "int8-10", "PyTorch": "network-10.pth",
             "onnxruntime-training": "whole-network", "LiteRT": "network-10.tflite"}  # fmt: skip
    for name, file in files.items():
        path = networks / file
        paths = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        found.setdefault(name, {})["model_bytes"] = sum(each.stat().st_size for each in paths)
    return found


def about(device: Path, workstation: Path) -> dict[str, Any]:
    """Machine, versions, date, commit."""
    code = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    wanted = {device: ("numpy", "pillow", "onnxruntime-training-cpu", "onnxruntime"), workstation: ("torch", "torchvision")}
    versions = {}
    for python, names in wanted.items():
        have = json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)
        versions |= {name: have[name] for name in names if name in have}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), "commit": commit, "edge_agent": __version__,
        "machine": f"{platform.machine()}, {processor}", "cores": os.cpu_count(), "python": platform.python_version(),
        "load_before": os.getloadavg()[0], "versions": versions,
    }  # fmt: skip


def show(results: Mapping[str, Any]) -> None:
    """The claims: what was promised, what was found."""
    table = Table(box=None, pad_edge=False)
    for title in ("claim", "wanted", "found", ""):
        table.add_column(title)
    for claim in claims(results):
        table.add_row(claim.what, claim.wanted, claim.found, "met" if claim.met else "MISSED")
    Console(width=150).print(table)


@click.command()
@click.option("--device", type=click.Path(exists=True, path_type=Path), default=ROOT / ".venv-device/bin/python", show_default=False)
@click.option("--workstation", type=click.Path(exists=True, path_type=Path), default=ROOT / ".venv/bin/python", show_default=False)
@click.option("--rivals", "others", type=click.Path(path_type=Path), default=ROOT / "out/rivals", help="Folder of their environments.")
@click.option("--networks", type=click.Path(exists=True, path_type=Path), default=ROOT / "out/bench", help="Of bench_networks.py.")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), required=True, help="Trained, for ten labels at 64 px.")
@click.option("--rounds", "count", default=5, show_default=True, help="How often every rival is started.")
@click.option("--runs", default=30, show_default=True, help="Predictions that are timed in each start.")
@click.option("--predictions", default=10_000, show_default=True, help="Of the simulated day.")
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "out/bench/results.json", show_default=False)
def main(
    device: Path, workstation: Path, others: Path, networks: Path, weights: Path, count: int, runs: int, predictions: int, output: Path
) -> None:
    """Measure, print what was promised beside what was found, and write the results."""
    device, workstation, others, networks, weights = (path.absolute() for path in (device, workstation, others, networks, weights))
    results: dict[str, Any] = {"about": about(device, workstation), "rounds": count}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for name, threads in (("one thread", "1"), ("all threads", "0")):
            found = rivals(networks, weights, device, workstation, others, threads, str(runs))
            results[name] = rounds(found, threads, count, progress)
        results["corrections"] = grown(device, networks, count, progress)
        results["sizes"] = sizes(device, workstation, others, networks)
        progress.add_task("a day in the field", total=None)
        day = ("day.py", str(PHOTOS), str(TRAINED), str(predictions), str(max(1, predictions // 100)))
        results["day"] = run(device, day)
    output.write_text(json.dumps(results, indent=1) + "\n")
    show(results)
    print(f"{output}", file=sys.stderr)


if __name__ == "__main__":
    main()
