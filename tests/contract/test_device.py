"""The promises to a small device, each in a fresh process of an environment without torch.

`EDGE_AGENT_TEST_DEVICE` names the Python of that environment (`make unit` does); without it those tests are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from on_device import ARTIFACT, PHOTOS, ROOT, TRUTHS

DEVICE = os.environ.get("EDGE_AGENT_TEST_DEVICE", "")  # read here: the tests themselves see none of our variables
MIB, KIB = 1024**2, 1024
FORBIDDEN = {"torch", "torchvision", "onnx"}
# Not getrusage's ru_maxrss: a new process inherits that from the one that started it, which here has torch loaded.
PEAK = """
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
"""
MAIN_JOB = """
import json, sys
from edge_agent import EdgeAgent
artifact, state, photo, truth, target = sys.argv[1:]
agent = EdgeAgent.open(artifact, state=state)
start = agent.head.digest()
seen = agent.predict(photo)
done = agent.correct(seen, truth)
now = agent.predict(photo)
difference = agent.export_onnx(target) if target else 0.0
back = agent.undo(done.id)
print(json.dumps({
    "was": seen.label, "verdict": done.verdict, "now": now.label, "difference": difference, "same": back.head_sha256 == start,
    "engine": agent.info().engine, "modules": sorted({name.split(".")[0] for name in sys.modules}),
    "peak": peak() if sys.platform == "linux" else 0,
}))
"""
MANY = """
import sys
from PIL import Image, ImageEnhance
from edge_agent import EdgeAgent
from edge_agent.settings import Settings
artifact, state, *photos = sys.argv[1:]
agent = EdgeAgent.open(artifact, state=state, settings=Settings(keep_pictures=False))
pictures = []
for photo in photos:
    image = Image.open(photo).convert("RGB")
    pictures += [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), ImageEnhance.Brightness(image).enhance(0.5)]
def written():
    with open("/proc/self/io") as file:
        return int(dict(line.split(": ") for line in file.read().splitlines())["wchar"])
agent.correct(pictures[0], agent.labels[0], force=True)
costs = []
for number, picture in enumerate(pictures[1:33]):
    seen = agent.predict(picture)
    before = written()
    agent.correct(seen, agent.labels[number % 10], force=True)
    costs.append(written() - before)
print(len(agent.head.contexts), max(costs), sum(costs) // len(costs), peak())
"""

needs_device = pytest.mark.skipif(not DEVICE, reason="EDGE_AGENT_TEST_DEVICE does not name the Python of an environment without torch")
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed here")
needs_proc = pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count what a process writes")


def program(python: str, *arguments: str) -> str:
    """What a fresh process prints, from the root of the repository and with nothing installed but its dependencies."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run([python, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stderr == ""
    return result.stdout


def main_job(python: str, folder: Path, target: str) -> dict[str, object]:
    found = json.loads(program(python, "-c", PEAK + MAIN_JOB, str(ARTIFACT), str(folder / "state"), str(PHOTOS[0]), TRUTHS[0], target))
    assert isinstance(found, dict)
    assert (found["verdict"], found["now"], found["same"]) == ("accepted", TRUTHS[0], True)
    assert found["was"] != TRUTHS[0]
    return found


@needs_device
def test_environment_of_the_device_has_no_torch() -> None:
    code = "import importlib.util; print([n for n in ('torch', 'torchvision') if importlib.util.find_spec(n)])"
    assert program(DEVICE, "-c", code).strip() == "[]", "EDGE_AGENT_TEST_DEVICE names an environment that proves nothing"


@needs_device
def test_main_job_without_torch_and_onnx(tmp_path: Path) -> None:
    found = main_job(DEVICE, tmp_path, str(tmp_path / "corrected.onnx"))
    assert not FORBIDDEN & set(found["modules"])  # type: ignore[call-overload]
    assert found["difference"] <= 1e-4  # type: ignore[operator]
    assert (tmp_path / "corrected.onnx").stat().st_size > MIB


@needs_torch
def test_torch_stays_out_where_it_is_installed(tmp_path: Path) -> None:
    found = main_job(sys.executable, tmp_path, "")
    assert not FORBIDDEN & set(found["modules"])  # type: ignore[call-overload]


@needs_device
@needs_proc
def test_peak_memory_while_correcting(tmp_path: Path) -> None:
    assert float(str(main_job(DEVICE, tmp_path, "")["peak"])) < 150 * MIB


@needs_device
@needs_proc
def test_bytes_written_and_memory_of_a_stream(tmp_path: Path) -> None:
    numbers = program(DEVICE, "-c", PEAK + MANY, str(ARTIFACT), str(tmp_path / "state"), *map(str, PHOTOS)).split()
    rows, most, mean, peak = map(int, numbers)
    assert rows >= 20, "re-shots that are too near to each other count once"
    assert mean <= 128 * KIB
    assert most <= 128 * KIB
    assert peak < 150 * MIB


@needs_device
def test_help_is_there_without_a_runtime() -> None:
    code = """
import sys
from edge_agent.cli import run
status = run(["--help"])
print(status, sorted({name.split(".")[0] for name in sys.modules} & {"onnxruntime", "torch", "torchvision", "onnx"}))
"""
    assert program(DEVICE, "-c", code).splitlines()[-1] == "0 []"


@needs_device
def test_commands_of_the_documentation(tmp_path: Path) -> None:
    options = ["-m", "edge_agent.cli", "--artifact", "artifacts/default", "--state", str(tmp_path / "state")]

    def ask(*arguments: str) -> dict[str, object]:
        found = json.loads(program(DEVICE, *options, *arguments, "--json"))
        assert isinstance(found, dict)
        return found

    start = ask("info")
    assert ask("correct", str(PHOTOS[0]), "--label", TRUTHS[0])["verdict"] == "accepted"
    assert ask("predict", str(PHOTOS[0]))["label"] == TRUTHS[0]
    assert ask("undo")["head_sha256"] == start["head_sha256"]


@needs_device
@needs_torch
def test_both_environments_solve_the_same_head(tmp_path: Path) -> None:
    """What one environment learned the other one loads, and solves to the same numbers."""
    code = """
import sys
from edge_agent import EdgeAgent
artifact, state, photo, truth = sys.argv[1:]
agent = EdgeAgent.open(artifact, state=state)
if truth:
    agent.correct(photo, truth)
seen = agent.predict(photo)
print(seen.label, round(seen.probability, 5))
"""
    first = program(sys.executable, "-c", code, str(ARTIFACT), str(tmp_path / "state"), str(PHOTOS[0]), TRUTHS[0])
    second = program(DEVICE, "-c", code, str(ARTIFACT), str(tmp_path / "state"), str(PHOTOS[0]), "")
    assert second == first
