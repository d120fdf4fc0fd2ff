"""The tables of README.md and docs/learning.md, from what `make bench-learning` wrote: run this after it, with its folder."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "docs/learning.json"
PAGES = {"README.md": ("learning",), "docs/learning.md": ("learning", "new class", "spread")}
OURS = "edge-agent"


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The Markdown of each block."""
    results = found["results"]
    return {
        "learning": _single(results) + "\n\n" + _streams(results), "new class": _new_class(results[OURS]), "spread": _spread(results[OURS]),
    }  # fmt: skip


def with_tables(page: str, names: tuple[str, ...], blocks: dict[str, str]) -> str:
    """A page with its blocks written anew."""
    for name in names:
        before, _, rest = page.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not end:
            raise ValueError(f"there is no block {name!r} on this page")
        page = f"{before}<!-- {name} -->\n{blocks[name]}\n{end}{after}"
    return page


def _mean(runs: list[dict[str, float]], key: str) -> float:
    return float(np.mean([run[key] for run in runs]))


def markdown_table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" if line[0] != "---" else "|" + "|".join(line) + "|" for line in lines)


def _name(rule: str) -> str:
    return f"**{rule}**" if rule == OURS else rule


def _single(results: dict[str, Any]) -> str:
    before = " / ".join(f"{_mean(results[OURS][f'single/{scene}'], 're-shots before %'):.0f}" for scene in ("clean", "field"))
    rows = []
    for rule, parts in results.items():
        clean, field = parts["single/clean"], parts["single/field"]
        right, shots = (f"{_mean(clean, key):.0f} / {_mean(field, key):.0f} %" for key in ("right after %", "re-shots right %"))
        least = min(run["least p"] for run in clean + field)
        worst = min(run["worst change"] for run in clean + field)
        change = f"{_mean(clean + field, 'accuracy change'):+.2f}, {worst:+.2f}"
        rows.append((_name(rule), right, f"{least:.2f}", shots, f"{_mean(clean + field, 'others unchanged %'):.2f} %", change))
    shots_title = f"re-shots right, clean / field (before: {before} %)"
    titles = ("rule", "right after, clean / field", "least p", shots_title, "others unchanged", "accuracy change, worst")
    return markdown_table(titles, rows)


def _change(runs: list[dict[str, float]], what: str) -> str:
    return f"{_mean(runs, f'{what} before %'):.1f} → {_mean(runs, f'{what} after %'):.1f}"


def _streams(results: dict[str, Any]) -> str:
    rows = []
    for rule, parts in results.items():
        clean, field, many = (parts[f"stream/{scene}"] for scene in ("clean", "field", "many cameras"))
        kept = " / ".join(f"{_mean(runs, 'edits kept %'):.0f}" for runs in (clean, field, many))
        changes = (_change(runs, what) for runs, what in ((clean, "clean"), (field, "field"), (field, "clean"), (many, "field")))
        rows.append((_name(rule), *changes, f"{kept} %"))
    titles = (
        "rule", "200 clean corrections: clean accuracy", "200 at one installation: accuracy there", "the same: clean accuracy",
        "200 from as many cameras: accuracy on more of them", "edits kept, clean / one / many",
    )  # fmt: skip
    return markdown_table(titles, rows)


def _new_class(parts: dict[str, Any]) -> str:
    runs, rows = parts["new class"], []
    for shots in sorted({int(key.split(":")[0]) for key in runs[0]}):
        recall, old = ([run[f"{shots}: {key}"] for run in runs] for key in ("recall %", "old, change"))
        rows.append((str(shots), f"{np.mean(recall):.1f} ± {np.std(recall):.1f} %", f"{np.mean(old):+.2f} ± {np.std(old):.2f}"))
    return markdown_table(("shots", "recall of the new class", "accuracy of the others, points"), rows)


def _spread(parts: dict[str, Any]) -> str:
    wanted = []
    for scene in ("clean", "field"):
        wanted += [(f"single/{scene}", key, f"one correction, {scene}: {key}") for key in ("re-shots right %", "others unchanged %")]
    for scene in ("clean", "field", "many cameras"):
        wanted += [(f"stream/{scene}", what, f"stream, {scene}: {what}, change") for what in ("clean", "field")]
    rows = []
    for part, key, title in wanted:
        runs = parts[part]
        values = [run[key] if key in run else run[f"{key} after %"] - run[f"{key} before %"] for run in runs]
        rows.append((title, ", ".join(f"{value:.2f}" for value in values), f"{np.mean(values):.2f} ± {np.std(values):.2f}"))
    return markdown_table(("measure", "each seed", "mean ± deviation"), rows)


def main(folder: Path) -> None:
    """Copy the results into docs/ and write the tables."""
    shutil.copyfile(folder / "results.json", COMMITTED)
    shutil.copyfile(folder / "plot.png", ROOT / "docs/learning.png")
    blocks = tables(json.loads(COMMITTED.read_text("utf-8")))
    for page, names in PAGES.items():
        path = ROOT / page
        path.write_text(with_tables(path.read_text("utf-8"), names, blocks), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
