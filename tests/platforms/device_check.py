"""What a device does, on the artifact and the photos of this repository: predict, correct, undo, export, health; the answers as JSON.

    python device_check.py ARTIFACT PHOTOS [--engine NAME] [--provider NAME]

Runs wherever the project is installed, without pytest; `matrix.py` and `aarch64.py` compare what it prints with another machine's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent import EdgeAgent, Prediction, __version__


def answers_of(seen: list[Prediction]) -> list[dict[str, Any]]:
    """Label and every probability of each prediction."""
    return [{"label": each.label, "top": {ranked.label: ranked.probability for ranked in each.top}} for each in seen]


def health(artifact: str, state: str, engine: str) -> dict[str, Any]:
    """What `edge-agent health` says, and its exit code; nothing where the command does not exist."""
    from edge_agent.cli import cli, run

    if "health" not in cli.commands:
        return {"status": "no such command", "exit_code": 0}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run(["--artifact", artifact, "--state", state, "--engine", engine, "health", "--json"])
    report = json.loads(printed.getvalue())
    return {"status": report["status"], "exit_code": code, "checks": {check["name"]: check["status"] for check in report["checks"]}}


def device_check(artifact: str, photos: list[Path], engine: str, provider: str) -> dict[str, Any]:
    """Every answer of one device."""
    with tempfile.TemporaryDirectory() as folder:
        state = f"{folder}/state"
        agent = EdgeAgent.open(artifact, state, provider=provider, engine=engine)
        labels = len(agent.labels)
        factory, before = agent.info(), [agent.predict(photo, labels) for photo in photos]
        corrections = [agent.correct(photo, photo.parent.name) for photo in photos]
        after = [agent.predict(photo, labels) for photo in photos]
        info, exported = agent.info(), agent.export_onnx(f"{folder}/corrected.onnx")
        healthy = health(artifact, state, engine)
        for correction in reversed(corrections):
            if correction.id is not None:
                agent.undo(correction.id)
        undone, answers = agent.info(), [agent.predict(photo, labels) for photo in photos]
        agent.close()
    return {
        "machine": platform.machine(), "python": platform.python_version(), "numpy": np.__version__, "edge_agent": __version__,
        "onnxruntime": info.onnxruntime, "engine": info.engine, "engine_reason": info.engine_reason, "provider": info.provider,
        "provider_reason": info.provider_reason, "before": answers_of(before), "after": answers_of(after),
        "verdicts": [correction.verdict for correction in corrections], "exported_difference": exported, "health": healthy,
        "undone_exactly": undone.head_sha256 == factory.head_sha256 and answers_of(answers) == answers_of(before),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }  # fmt: skip


def main() -> None:
    """Print the answers as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("artifact")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--provider", default="auto")
    given = parser.parse_args()
    photos = sorted(given.photos.glob("*/*.jpg"))
    json.dump(device_check(given.artifact, photos, given.engine, given.provider), sys.stdout)
    print()


if __name__ == "__main__":
    main()
