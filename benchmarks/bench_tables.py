"""The tables and charts of README.md and docs/performance.md, from what `make bench` wrote: run this after it, with its results."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning_tables import COMMITTED as LEARNING
from learning_tables import markdown_table, with_tables

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "docs/performance.json"
PAGES = {"README.md": ("performance",), "docs/performance.md": ("performance", "claims", "corrections", "spread", "machine")}
OURS = "edge-agent"
RULES = {"edge-agent": "edge-agent", "PyTorch": "AdamW × 20", "onnxruntime-training": "AdamW × 20", "scikit-learn": "SGDClassifier",
         "Deep SLDA": "Deep SLDA", "nearest class mean": "nearest class mean"}  # fmt: skip
MB = 1e6
Results = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """A number that was promised: what, how much, what was found, and whether it is met."""

    what: str
    wanted: str
    found: str
    met: bool


def claims(results: Results) -> list[Claim]:
    """Medians of this run against what was promised."""
    one, ours = results["one thread"], results["one thread"][OURS]
    grown = {(each["weights"], each["classes"], each["remembered"]): each for each in results["corrections"]}
    found = []
    for weights in ("trained", "random"):
        for classes, remembered, most in ((10, 32, 0.5), (10, 256, 5), (100, 32, 1), (1000, 32, 8)):
            what = f"a correction beside a pass at 224 px: {classes} labels, {remembered} remembered, {weights} weights"
            found.append(_most(what, grown[weights, classes, remembered]["ratio"]["median"], most))
    correction, beside = (grown["trained", 10, 32][key]["median"] for key in ("correct_ms", "pass_ms"))
    for name in ("PyTorch", "onnxruntime-training"):  # each in passes of our own, since they were not timed in the same second
        times = one[name]["correct_ms"]["median"] / ours["pass_ms"]["median"] / (correction / beside)
        found.append(Claim(f"a correction, times faster than {name}'s 20 steps", "≥ 150", f"{times:.0f}", times >= 150))
    torch = one["PyTorch"]
    for what, key, most in (
        ("peak memory of PyTorch's", "peak_bytes", 0.25), ("start to first prediction of PyTorch's", "first_ms", 0.25),
        ("prediction of PyTorch's, one thread", "predict_ms", 0.4), ("a pass of PyTorch's, one thread", "pass_ms", 0.4),
    ):  # fmt: skip
        found.append(_most(what, ours[key]["median"] / torch[key]["median"], most))
    sizes = results["sizes"]
    found.append(_most("installed size of the workstation's", sizes[OURS]["bytes"] / sizes["PyTorch"]["bytes"], 0.1))
    grew = (results["day"]["end_bytes"] - results["day"]["warm_bytes"]) / 1024**2
    found.append(Claim("memory after the simulated day, more than after warm-up", "≤ 4 MiB", f"{grew:.1f} MiB", grew <= 4))
    return found


def _most(what: str, value: float, most: float) -> Claim:
    return Claim(what, f"≤ {most:g}", f"{value:.2f}", value <= most)


def tables(results: Results, learning: Results) -> dict[str, str]:
    """The Markdown of each block."""
    return {
        "performance": _beside(results, learning), "claims": _claims(results), "corrections": _corrections(results),
        "spread": _spread(results), "machine": _machine(results),
    }  # fmt: skip


def _median(figures: Results, key: str, form: str = "{:.1f}") -> str:
    return form.format(figures[key]["median"]) if key in figures else "–"


def _megabytes(value: float | None) -> str:
    return "–" if value is None else f"{value / MB:.0f}"


def _beside(results: Results, learning: Results) -> str:
    rows = []
    for name, figures in results["one thread"].items():
        every, size = results["all threads"].get(name, {}), results["sizes"].get(name, {})
        start = _median(figures, "first_ms", "{:.0f}")
        harm = _harm(learning["results"].get(RULES.get(name, ""), {}))
        peak = _megabytes(figures["peak_bytes"]["median"])
        predict = f"{_median(figures, 'predict_ms')} / {_median(every, 'predict_ms')}"
        rows.append((
            f"**{name}**" if name == OURS else name, _megabytes(size.get("bytes")), start, peak,
            predict if "predict_ms" in figures else "–", _median(figures, "correct_ms", "{:.3g}"), *harm,
        ))  # fmt: skip
    titles = ("", "installed, MB", "start to first prediction, ms", "peak memory, MB", "prediction, one / all threads, ms",
              "one correction, ms", "right after", "other predictions unchanged")  # fmt: skip
    return markdown_table(titles, rows)


def _harm(parts: Results) -> tuple[str, str]:
    runs = [run for scene in ("clean", "field") for run in parts.get(f"single/{scene}", ())]
    means = (sum(run[key] for run in runs) / len(runs) if runs else None for key in ("right after %", "others unchanged %"))
    right, unchanged = means
    return "–" if right is None else f"{right:.0f} %", "–" if unchanged is None else f"{unchanged:.2f} %"


def _claims(results: Results) -> str:
    rows = [(claim.what, claim.wanted, claim.found, "met" if claim.met else "**missed**") for claim in claims(results)]
    return markdown_table(("what", "wanted", "found", ""), rows)


def _corrections(results: Results) -> str:
    rows = []
    for each in results["corrections"]:
        times = (f"{each[key]['median']:.2f}" for key in ("correct_ms", "acknowledged_ms", "pass_ms"))
        ratio = each["ratio"]
        limits = f"{ratio['min']:.2f} … {ratio['max']:.2f}"
        rows.append((each["weights"], str(each["classes"]), str(each["remembered"]), f"{each['steps']['median']:.0f}", *times,
                     f"{ratio['median']:.2f}", limits))  # fmt: skip
    titles = ("weights", "labels", "remembered", "steps", "correction, ms", "with the disk, ms", "a pass at 224 px, ms",
              "correction / pass", "min … max")  # fmt: skip
    return markdown_table(titles, rows)


def _spread(results: Results) -> str:
    rows = []
    for threads in ("one thread", "all threads"):
        for name, figures in results[threads].items():
            for key, each in figures.items():
                scale, unit = (MB, "MB") if key.endswith("_bytes") else (1, key.rsplit("_", 1)[1])
                values = (f"{each[part] / scale:.4g}" for part in ("min", "median", "max"))
                rows.append((name, threads, f"{key.rsplit('_', 1)[0].replace('_', ' ')}, {unit}", *values))
    return markdown_table(("", "", "what", "min", "median", "max"), rows)


def _machine(results: Results) -> str:
    facts, day = results["about"], results["day"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    models = ", ".join(f"{name} {size['model_bytes'] / MB:.1f} MB" for name, size in results["sizes"].items() if "model_bytes" in size)
    written = ", ".join(
        f"{name} {figures['written_bytes']['median'] / 1e3:.0f} kB"
        for name, figures in results["one thread"].items()
        if "written_bytes" in figures
    )
    memory = f"{day['warm_bytes'] / MB:.1f} MB after warm-up, {day['end_bytes'] / MB:.1f} MB at the end"
    return "\n".join((
        f"- {facts['machine']}, {facts['cores']} cores, Python {facts['python']}; {versions}; {facts['at']}, commit {facts['commit']}; "
        f"{results['rounds']} rounds; load before: {facts['load_before']:.1f}.",
        f"- A day: {day['predictions']} predictions and {day['corrections']} corrections ({day['accepted']} accepted) "
        f"in {day['total_s']:.0f} s; {memory}; the state takes {day['state_bytes'] / MB:.2f} MB.",
        f"- What each reads: {models}.",
        f"- Written for one correction: {written}.",
    ))  # fmt: skip


def plots(results: Results, path: Path) -> None:
    """A correction, memory and start of each rival; and how a correction grows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 3.8))
    one = results["one thread"]
    for axis, key, title, scale in ((axes[0], "correct_ms", "one correction, ms", 1), (axes[1], "peak_bytes", "peak memory, MB", MB)):
        names = [name for name in one if key in one[name]][::-1]
        values = [one[name][key]["median"] / scale for name in names]
        axis.barh(names, values, color=["tab:blue" if name.startswith(OURS) else "lightgrey" for name in names])
        axis.set(title=title, xscale="log")
        for place, value in enumerate(values):
            axis.text(value, place, f" {value:.3g}", va="center", fontsize=8)
        axis.margins(x=0.2)
    for name, points in _series(results):
        axes[2].plot([max(1, count) for count, _ in points], [ratio for _, ratio in points], marker="o", label=name)
    axes[2].set(title="a correction beside a pass at 224 px", xlabel="remembered (0 is drawn at 1)", xscale="log", yscale="log")
    axes[2].axhline(1, color="grey", linewidth=0.5)
    axes[2].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _series(results: Results) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for each in results["corrections"]:
        name = f"{each['classes']} labels, {each['weights']}"
        found.setdefault(name, []).append((each["remembered"], each["ratio"]["median"]))
    yield from found.items()


def main(file: Path) -> None:
    """Copy the results into docs/ and write tables and charts."""
    shutil.copyfile(file, COMMITTED)
    results = json.loads(COMMITTED.read_text("utf-8"))
    plots(results, ROOT / "docs/performance.png")
    blocks = tables(results, json.loads(LEARNING.read_text("utf-8")))
    for page, names in PAGES.items():
        path = ROOT / page
        path.write_text(with_tables(path.read_text("utf-8"), names, blocks), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
