"""What README and docs say about learning is what the committed measurement says, and the measurement itself runs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


learning_tables = module("learning_tables")


@pytest.mark.parametrize("page", learning_tables.PAGES)
def test_tables_are_those_of_the_committed_measurement(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    blocks = learning_tables.tables(json.loads(learning_tables.COMMITTED.read_text("utf-8")))
    assert learning_tables.with_tables(text, learning_tables.PAGES[page], blocks) == text


def test_committed_measurement_meets_the_targets() -> None:
    """LEARNING.md's numbers for the default artifact, but for the stream of many cameras, which has none."""
    found = json.loads(learning_tables.COMMITTED.read_text("utf-8"))
    ours = found["results"]["edge-agent"]
    assert found["amount"]["seeds"] >= 3
    single = ours["single/clean"] + ours["single/field"]
    assert all(run["right after %"] == 100 for run in single)
    mean = {key: sum(run[key] for run in single) / len(single) for key in ("others unchanged %", "accuracy change")}
    assert mean["others unchanged %"] >= 99.6
    assert mean["accuracy change"] >= -0.05

    def gain(scene: str, what: str) -> float:
        runs = ours[f"stream/{scene}"]
        return float(sum(run[f"{what} after %"] - run[f"{what} before %"] for run in runs) / len(runs))

    assert gain("clean", "clean") >= -0.3
    assert gain("field", "field") >= 2.5
    assert all(run["edits kept %"] == 100 for scene in ("clean", "field", "many cameras") for run in ours[f"stream/{scene}"])


def test_the_measurement_runs_on_few_photos(tmp_path: Path) -> None:
    """Every part once, on the photos of the repository, without the rivals that need many."""
    photos = ROOT / "artifacts/field"
    command = [sys.executable, BENCHMARKS / "learning.py", "--photos", photos, "--seeds", "1", "--count", "2", "--others", "3",
               "--length", "2", "--no-rivals", "--output", tmp_path]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "150"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results.json").read_text("utf-8"))
    ours = found["results"]["edge-agent"]
    assert set(ours) >= {"single/clean", "single/field", "stream/clean", "stream/field", "stream/many cameras"}
    assert ours["single/clean"][0]["right after %"] == 100
    assert "re-shots right %" in done.stdout
