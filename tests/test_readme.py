"""The README shows what the commands print, and names every command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def masked(text: str) -> list[str]:
    """Lines without what differs from machine to machine: numbers, and the spaces that align them."""
    return [re.sub(r"\s+", " ", re.sub(r"[0-9a-f]{16}|\d+(\.\d+)*", "#", line)).strip() for line in text.strip().splitlines()]


def test_the_demonstration_prints_what_the_readme_shows() -> None:
    python = os.environ.get("EDGE_AGENT_TEST_DEVICE", sys.executable)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run([python, ROOT / "demo/demo.py"], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    shown = README.split("<!-- demo -->")[1].split("<!-- /demo -->")[0].replace("```", "")
    assert masked(done.stdout) == masked(shown)


@pytest.mark.parametrize("target", ["demo", "test", "bench-learning"])
def test_the_readme_names_targets_that_exist(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


def test_the_readme_names_every_command() -> None:
    from edge_agent.cli import cli

    for name in cli.commands:
        assert f"`{name}" in README, name
