"""The tables of docs/queue.md, from what `make bench-queue` wrote: run this after it, with its folder."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from learning_tables import markdown_table, with_tables

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "docs/queue.json"
PAGE = ROOT / "docs/queue.md"
OURS = "edge-agent"
SCENES = ("clean", "field")


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The Markdown of each block."""
    return {scene: markdown_table(*rows_of(found, scene)) for scene in SCENES}


def rows_of(found: dict[str, Any], scene: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles and rows of one scene: mean ± deviation over the seeds."""
    half, whole = found["amount"]["answers"] // 2, found["amount"]["answers"]
    random = found["results"].get("random", {}).get(scene)
    titles = ["chosen by", f"mistakes in {half} answers", f"in {whole}", "times random's", f"accuracy there, change after {half}",
              f"after {whole}", "more than random's, each seed"]  # fmt: skip
    if scene != "clean":
        titles.append(f"clean accuracy, change after {whole}")
    rows = []
    for name, scenes in found["results"].items():
        runs = scenes[scene]
        per_label = [run["mistakes"] / run["asked"] for run in runs]
        mistakes = [_spread([run[f"mistakes of {count}"] for run in runs], 0) for count in (half, whole)]
        cells = [f"**{name}**" if name == OURS else name, *mistakes]
        cells.append(f"{np.mean(per_label) / np.mean([run['mistakes'] / run['asked'] for run in random]):.1f}" if random else "–")
        cells += [_spread(_change(runs, "there", count), 2, "+") for count in (half, whole)]
        gains = zip(_change(runs, "there", whole), _change(random, "there", whole) if random else [], strict=False)
        cells.append(", ".join(f"{ours - theirs:+.1f}" for ours, theirs in gains) if random and name != "random" else "–")
        rows.append((*cells, _spread(_change(runs, "clean", whole), 2, "+")) if scene != "clean" else tuple(cells))
    return tuple(titles), rows


def _change(runs: list[dict[str, float]], what: str, count: int) -> list[float]:
    return [run[f"{what} after {count} %"] - run[f"{what} before %"] for run in runs]


def _spread(values: list[float], digits: int, sign: str = "") -> str:
    return f"{np.mean(values):{sign}.{digits}f} ± {np.std(values):.{digits}f}"


def main(folder: Path) -> None:
    """Copy the results into docs/ and write the tables."""
    shutil.copyfile(folder / "results.json", COMMITTED)
    blocks = tables(json.loads(COMMITTED.read_text("utf-8")))
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), SCENES, blocks), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
