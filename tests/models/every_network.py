"""`make test-models`: every classifier of torchvision built, verified, corrected on the device and taken back, with random weights.

    python tests/models/every_network.py [NAME…] [--device PYTHON] [--minutes N] [--limit-s N] [--again] [--no-report]

One network at a time, in processes of its own, the smallest first. What was found is kept as JSON below out/models, so that an
interrupted run goes on where it stopped; a failure is tried again by the next run. The table goes to docs/models.md too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHECK = HERE / "network_check.py"
KEPT = ROOT / "out/models"
REPORT = ROOT / "docs/models.md"
INPUT_PX = 64
# Where 64 px are too few: pooling would leave nothing (alexnet, inception_v3), or the size is no multiple of a patch or window.
LEAST_PX = {"alexnet": 96, "inception_v3": 96, "maxvit_t": 224, "vit_h_14": 70}
START, END = "<!-- models -->", "<!-- /models -->"


def known() -> dict[str, int]:
    """Torchvision's classifiers and how many parameters each has with the classes of its preset, the smallest first."""
    from export.catalogue import networks

    return dict(sorted(((network.name, network.parameters) for network in networks()), key=lambda pair: (pair[1], pair[0])))


def tried(name: str, data: Path, device: str, limit_s: float) -> dict[str, Any]:
    """What one network gives, or why it does not.

    Args:
        name: torchvision's.
        data: one folder of pictures per label.
        device: the interpreter of the device's half.
        limit_s: for each half.
    """
    facts: dict[str, Any] = {"name": name, "input_px": LEAST_PX.get(name, INPUT_PX)}
    with tempfile.TemporaryDirectory(prefix="network-") as folder:
        artifact, picture = Path(folder, "artifact"), next(iter(sorted(data.glob("*/*.png"))))
        halves = (
            [sys.executable, str(CHECK), "build", name, str(data), str(artifact), str(facts["input_px"])],
            [device, str(CHECK), "device", str(artifact), str(picture)],
        )
        for command in halves:
            found = _answer(command, limit_s)
            facts |= found
            if "failed" in found:
                break
    return facts


def _answer(command: list[str], limit_s: float) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_AGENT_")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"failed": f"{command[2]}: not done after {limit_s:.0f} s"}
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return {"failed": f"{command[2]}: {said[:300]}"}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, by name; a failure is shown as one."""
    titles = "network|input px|parameters|artifact MB|parity: logits|context|a pass ms|a correction ms|build s|MB, export|MB, device|result"
    lines = [f"| {' | '.join(titles.split('|'))} |", f"|{'---|' + '---:|' * 10 + '---|'}"]
    for row in sorted(rows, key=lambda row: row["name"]):
        numbers = (
            f"{row['parameters']:,}" if "parameters" in row else "", _number(row, "artifact_mb", ",.1f"), _number(row, "logits", ".0e"),
            _number(row, "context", ".0e"), _number(row, "pass_ms", ".1f"), _number(row, "correction_ms", ".1f"),
            _number(row, "build_s", ".0f"), _number(row, "export_mb", ",.0f"), _number(row, "device_mb", ",.0f"),
        )  # fmt: skip
        result = f"**FAILED** {row['failed']}" if "failed" in row else "holds"
        lines.append(f"| {row['name']} | {row['input_px']} | {' | '.join(numbers)} | {result} |")
    return "\n".join(lines)


def _number(row: dict[str, Any], key: str, form: str) -> str:
    return format(row[key], form) if key in row else ""


def summary(rows: list[dict[str, Any]], names: Collection[str]) -> str:
    """How many of these networks hold, with what they were run."""
    good = [row for row in rows if "failed" not in row]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "torchvision", "onnx"))
    lines = [f"**{len(good)} of {len(names)} hold.** {versions}, {platform.machine()}, {os.cpu_count()} cores."]
    if good:
        slowest, least = max(good, key=lambda row: row["correction_ms"]), min(row["spread"] for row in good)
        lines.append(
            f"Greatest difference to PyTorch: {max(row['logits'] for row in good):.0e} of a logit, which differs by {least:.2f} or more "
            f"from picture to picture, and {max(row['context'] for row in good):.0e} of a context. A correction took "
            f"{min(row['correction_ms'] for row in good):.1f} to {slowest['correction_ms']:.1f} ms ({slowest['name']})."
        )
    if missing := sorted(set(names) - {row["name"] for row in rows}):
        lines.append(f"\nNot tried yet: {', '.join(missing)}.")
    return "\n".join(lines)


def write_report(rows: list[dict[str, Any]], names: Collection[str]) -> None:
    """Put summary and table between the markers of docs/models.md."""
    text = REPORT.read_text("utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    REPORT.write_text(f"{before}{START}\n{summary(rows, names)}\n\n{table(rows)}\n{END}{after}", "utf-8")


def kept() -> dict[str, dict[str, Any]]:
    """What earlier runs found, by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(KEPT.glob("*.json"))}


def keep(facts: dict[str, Any]) -> None:
    """Keep what one network gave; a run that is stopped while it writes leaves the file of before."""
    KEPT.mkdir(parents=True, exist_ok=True)
    part = KEPT / f"{facts['name']}.part"
    part.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    part.replace(part.with_suffix(".json"))


def line(facts: dict[str, Any]) -> str:
    """One network in words, for the terminal."""
    if "failed" in facts:
        return f"FAILED {facts['name']}: {facts['failed']}"
    return (
        f"holds  {facts['name']:<22} {facts['parameters']:>12,} parameters {facts['artifact_mb']:>8,.1f} MB  parity {facts['logits']:.0e}  "
        f"correction {facts['correction_ms']:.1f} ms  build {facts['build_s']:.0f} s  {facts['export_mb']:,} MB"
    )


def run(names: list[str], arguments: argparse.Namespace) -> None:
    """Try what is not known to hold, while there is time."""
    from export_samples import write_photos

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="photos-") as folder:
        data = write_photos(Path(folder) / "data")
        for name in names:
            if time.monotonic() - started > arguments.minutes * 60:
                print(f"{arguments.minutes:g} minutes are over: run it again for the rest", flush=True)
                return
            facts = tried(name, data, arguments.device, arguments.limit_s)
            keep(facts)
            print(line(facts), flush=True)


def main() -> int:
    """Run, print, write the report; 1 where one fails or was not tried."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help="torchvision's names; all by default")
    parser.add_argument("--device", default=sys.executable, metavar="PYTHON", help="interpreter of the device's environment")
    parser.add_argument("--minutes", type=float, default=1e6, metavar="N", help="begin no network later than this")
    parser.add_argument("--limit-s", type=float, default=900, metavar="N", help="for each half of a network")
    parser.add_argument("--again", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--no-report", action="store_true", help="leave docs/models.md as it is")
    arguments = parser.parse_args()
    everything = known()
    if unknown := sorted(set(arguments.names) - set(everything)):
        parser.error(f"unknown: {', '.join(unknown)}")
    if arguments.again:
        shutil.rmtree(KEPT, ignore_errors=True)
    found = kept()
    chosen = [name for name in everything if not arguments.names or name in arguments.names]
    run([name for name in chosen if arguments.names or name not in found or "failed" in found[name]], arguments)
    found = {name: facts for name, facts in kept().items() if name in everything}
    rows = [found[name] for name in chosen if name in found]
    print(f"\n{table(rows)}\n\n{summary(rows, chosen)}")
    if not arguments.no_report:
        write_report(list(found.values()), everything)
    return 1 if len(rows) < len(chosen) or any("failed" in row for row in rows) else 0


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests/export")]
    sys.exit(main())
