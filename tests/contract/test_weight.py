"""What a fresh process loads: starting is cheap, and nothing of the workstation ever comes with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "torchvision", "onnx", "onnxruntime", "PIL"}


def loaded_by(*arguments: str) -> set[str]:
    """Top-level modules that a fresh Python loads, as its own `-X importtime` names them; the program must exit with 0."""
    command = [sys.executable, "-X", "importtime", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("-c", "import edge_agent; dir(edge_agent); edge_agent.__version__")
    assert "edge_agent" in loaded
    assert not loaded & (HEAVY | {"numpy", "click", "rich", "safetensors"})


def test_errors_load_nothing_heavy() -> None:
    loaded = loaded_by("-c", "from edge_agent import ArtifactError, EdgeAgentError, InputError, LabelError, StateError, UsageError")
    assert not loaded & (HEAVY | {"numpy"})


@pytest.mark.skipif(not (ROOT / "edge_agent" / "cli.py").is_file(), reason="edge_agent/cli.py does not exist yet")
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_loads_no_runtime(option: str) -> None:
    loaded = loaded_by("-m", "edge_agent.cli", option)
    assert "click" in loaded
    assert not loaded & {"torch", "torchvision", "onnx", "onnxruntime"}


@pytest.mark.parametrize("module", ["manifest", "artifact", "image", "settings", "ort"])
def test_foundation_loads_no_runtime(module: str) -> None:
    loaded = loaded_by("-c", f"import edge_agent.{module}")
    assert not loaded & {"torch", "torchvision", "onnx", "onnxruntime"}
