"""What the platform checks share: a wheel of this checkout, environments without pip in them, and the comparison of two devices."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ARTIFACT, PHOTOS = ROOT / "artifacts/default", ROOT / "artifacts/field"
CHECK = Path(__file__).with_name("device_check.py")
MINIMAL = ROOT / "requirements-minimal.txt"
TOLERANCE = 1e-4
"""Greatest difference of a probability between two devices."""


class CommandError(Exception):
    """A command failed; the message is the end of what it said."""


@dataclass(frozen=True)
class Device:
    """Python with the project installed: the command that starts it, and its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] | None = None

    def check(self, *options: str) -> dict[str, Any]:
        """The answers of `device_check.py` there, with what it said on stderr.

        Raises:
            CommandError: it failed.
        """
        printed, said = run([*self.command, str(CHECK), str(ARTIFACT), str(PHOTOS), *options], self.environment)
        answers: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return {**answers, "stderr": said.strip()}


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[str, str]:
    """What a command prints on stdout and on stderr, run outside of the checkout.

    Raises:
        CommandError: it does not exist, or exits with another code than 0.
    """
    try:
        done = subprocess.run(command, cwd=tempfile.gettempdir(), env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CommandError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("WARNING")]
        raise CommandError(f"{Path(command[0]).name} exited with {done.returncode}: {' '.join(lines[-3:])[-600:]}")
    return done.stdout, done.stderr


def build_wheel(folder: Path) -> Path:
    """A wheel of this checkout; built from a copy, so that nothing is written beside the sources.

    Raises:
        CommandError: pip failed.
    """
    source = folder / "source"
    for package in ("edge_agent", "export"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)])
    return next(folder.glob("onnx_edge_agent-*.whl"))


def environment(python: str, folder: Path, requirements: Sequence[str]) -> Path:
    """A fresh environment of an interpreter with these requirements, and without pip; returns its Python.

    Raises:
        CommandError: it cannot be made, or pip cannot install something.
    """
    run([python, "-m", "venv", "--without-pip", "--clear", str(folder)])
    inside = folder / "bin/python"
    run([sys.executable, "-m", "pip", "--python", str(inside), "install", "--quiet", "--disable-pip-version-check", *requirements])
    return inside


def differences(reference: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[list[str], float]:
    """What another device answers otherwise, in words, and the greatest difference of a probability."""
    faults, worst = [], 0.0
    for stage in ("before", "after"):
        for place, (ours, theirs) in enumerate(zip(reference[stage], found[stage], strict=True)):
            if ours["label"] != theirs["label"]:
                faults.append(f"{stage}, photo {place}: {theirs['label']}, expected {ours['label']}")
            worst = max(worst, *(abs(theirs["top"][label] - probability) for label, probability in ours["top"].items()))
    if worst > TOLERANCE:
        faults.append(f"a probability differs by {worst:.1e}")
    if reference["verdicts"] != found["verdicts"]:
        faults.append(f"verdicts {found['verdicts']}, expected {reference['verdicts']}")
    if not found["undone_exactly"]:
        faults.append("undoing everything does not give the factory's answers")
    if found["exported_difference"] > 1e-3:
        faults.append(f"the exported network differs by {found['exported_difference']:.1e}")
    if found["health"]["exit_code"] not in (0, 1) or found["health"]["status"] not in ("OK", "WARNING", "no such command"):
        faults.append(f"health is {found['health']['status']}")
    if found["stderr"]:
        faults.append(f"on stderr: {found['stderr'][-200:]}")
    return faults, worst


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
