"""`make faults`: every row of the fault plan with the night's figures, and its report as docs/faults.json and docs/faults.md.

    python tests/faults/campaign.py [ID…] [--pr] [--seed N] [--report docs]

A module that proves a row has `FAULTS: tuple[Fault, ...]` (see `fault.py`) and stands in `MODULES`. `make test` runs the same rows with
their smaller figures: `test_faults.py`. A row that was run alone replaces its own line of the report and no other. `D4` names both of
`D4-state` and `D4-artifact`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT)]

from fault import MOST_NAMED, Fault, Outcome  # noqa: E402

MODULES: tuple[str, ...] = (
    "poisoned",
    "killed",
    "released",
    "power_cut",
    "clocks",
    "disk_faults",
    "endurance",
    "shared_state",
    "state_damage",
    "hostile",
    "pictures",
    "inputs",
    "artifact_damage",
)
START, END = "<!-- faults -->", "<!-- /faults -->"


def faults() -> list[Fault]:
    """Every row that there is, in the order of the plan."""
    return [fault for module in MODULES for fault in importlib.import_module(module).FAULTS]


def facts_of(fault: Fault, outcome: Outcome, seed: int, seconds: float) -> dict[str, Any]:
    """One row of the report."""
    named = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "what": fault.what, "must_hold": fault.must_hold, "trial": fault.trial, "trials": outcome.trials, "seed": seed,
        "failures": len(outcome.failures), "failed": list(outcome.failures[:MOST_NAMED]), "facts": dict(outcome.facts),
        "seconds": round(seconds, 1), "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), "commit": named.stdout.strip(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }  # fmt: skip


def bound(row: dict[str, Any]) -> str:
    """What the numbers say of the rate: none in N means below 3/N at 95 %."""
    return f"below {3 / row['trials']:.2g}" if not row["failures"] else f"{row['failures'] / row['trials']:.2g}"


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The report's table, in the order of the ids."""
    lines = ["| id | fault | must hold | trials | failures | rate | seed | time | also measured |", "|---|---|---|---|---|---|---|---|---|"]
    for name, row in sorted(rows.items()):
        also = "; ".join(f"{what}: {value}" for what, value in row["facts"].items())
        count = f"{row['trials']:,} {row['trial']}".replace(",", " ")
        cells = (name, row["what"], row["must_hold"], count, row["failures"], bound(row), row["seed"], f"{row['seconds']:.0f} s", also)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def added(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Two runs of one row with different seeds as one: numbers are summed, and of "most …" or "slowest …" the greater one stays."""
    facts = dict(new["facts"])
    for what, value in old["facts"].items():
        if isinstance(value, (int, float)) and isinstance(facts.get(what), (int, float)):
            facts[what] = max(value, facts[what]) if what.startswith(("most", "slowest")) else round(value + facts[what], 3)
    sums = {name: old[name] + new[name] for name in ("trials", "failures")}
    failed = [*old["failed"], *new["failed"]][:MOST_NAMED]
    return {
        **new, **sums, "failed": failed, "facts": facts, "seed": f"{old['seed']}, {new['seed']}",
        "seconds": round(old["seconds"] + new["seconds"], 1),
    }  # fmt: skip


def write_report(folder: Path, name: str, row: dict[str, Any], adds: bool = False) -> None:
    """Put one row into docs/faults.json, or add it to the one that is there, and the table anew into docs/faults.md."""
    listed = folder / "faults.json"
    rows = json.loads(listed.read_text("utf-8")) if listed.exists() else {}
    rows[name] = added(rows[name], row) if adds and name in rows else row
    listed.write_text(json.dumps(dict(sorted(rows.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")
    page = folder / "faults.md"
    text = page.read_text("utf-8") if page.exists() else f"# Faults\n\n{START}\n{END}\n"
    before, _, rest = text.partition(START)
    page.write_text(f"{before}{START}\n{table(rows)}\n{END}{rest.partition(END)[2]}", "utf-8")


def main() -> int:
    """Run the rows that were named, or all; 0 when every one of them holds."""
    parser = argparse.ArgumentParser(description="Run rows of the fault plan with the night's figures.")
    parser.add_argument("ids", nargs="*", metavar="ID", help="rows to run, such as D2; default: all")
    parser.add_argument("--pr", action="store_true", help="the figures of make test instead")
    parser.add_argument("--trials", type=int, help="so many instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--add", action="store_true", help="add to the row of the report that another seed gave")
    parser.add_argument("--report", type=Path, help="the folder of faults.json and faults.md; default: none is written")
    arguments = parser.parse_args()
    chosen = [fault for fault in faults() if not arguments.ids or {fault.id, fault.id.partition("-")[0]} & set(arguments.ids)]
    unknown = set(arguments.ids) - {name for fault in chosen for name in (fault.id, fault.id.partition("-")[0])}
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(fault.id for fault in faults())}")
    failed = 0
    for fault in chosen:
        trials = arguments.trials or (fault.pr if arguments.pr else fault.night)
        print(f"{fault.id}: {trials} × {fault.trial} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            outcome = fault.run(trials, arguments.seed, Path(folder))
        row = facts_of(fault, outcome, arguments.seed, time.monotonic() - started)
        failed += bool(outcome.failures)
        print(json.dumps({"id": fault.id, **row}, ensure_ascii=False), flush=True)
        if arguments.report:
            write_report(arguments.report, fault.id, row, arguments.add)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
