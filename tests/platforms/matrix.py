"""`make test-platforms`: the same answers on every interpreter that is installed, with the oldest and the newest ONNX Runtime.

Each row is a fresh environment with a wheel of this checkout in it, where `device_check.py` predicts, corrects, undoes, exports and asks
for health; every label and every probability is compared with this environment's own. Prints a Markdown table; exits with 1 when a row
differs. An interpreter that is not installed, and a wheel that cannot be had for one, are rows that say so.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparing import ARTIFACT, PHOTOS, CommandError, Device, build_wheel, differences, environment, table

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
OLDEST = {"3.13": "1.20.0"}  # the first ONNX Runtime with a wheel for this Python, where that is later than the oldest that works
OLDEST_THAT_WORKS = "1.18.1"  # 1.17 refuses IR version 10; 1.18.0 does not say that it needs numpy below 2
TRAINING = "1.19.2"
TITLES = ("Python", "ONNX Runtime", "numpy", "engine", "provider", "health", "greatest difference", "result")


@dataclass(frozen=True)
class Row:
    """One environment and how it is asked.

    Attributes:
        python: version.
        interpreter: its path; "" where it is not installed.
        runtime: the requirement that brings ONNX Runtime.
        engine: the engine that must run, asked for with --engine auto where it is the best one there.
        cuda: whether the wheel has CUDAExecutionProvider, which must fail here with a reason, or work.
    """

    python: str
    interpreter: str
    runtime: str
    engine: str
    cuda: bool = False


def interpreters() -> dict[str, str]:
    """The interpreters of `VERSIONS` that really start, on PATH or below pyenv's folder."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = {}
    for version in VERSIONS:
        candidates = [shutil.which(f"python{version}"), *sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python")), reverse=True)]
        for candidate in filter(None, candidates):
            code = "import sys, venv; print(sys.version_info[:2])"
            done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip() == f"({version.replace('.', ', ')})":
                found[version] = candidate
                break
    return found


def rows(chosen: Mapping[str, str], gpu: bool) -> Iterator[Row]:
    """What to try."""
    for version in VERSIONS:
        python = chosen.get(version, "")
        yield Row(version, python, f"onnxruntime=={OLDEST.get(version, OLDEST_THAT_WORKS)}", "portable")
        yield Row(version, python, "onnxruntime", "portable")
        if version in ("3.10", "3.11"):
            yield Row(version, python, f"onnxruntime-training-cpu=={TRAINING}", "onnxruntime-training")
    if gpu:
        yield Row("3.11", chosen.get("3.11", ""), "onnxruntime-gpu", "portable", cuda=True)
        yield Row("3.11", chosen.get("3.11", ""), f"onnxruntime-training=={TRAINING}", "onnxruntime-training", cuda=True)


def cuda_fault(python: Path) -> str:
    """What is wrong with how a CUDA wheel fails; "" when it fails as it should, or works."""
    call = [str(python), "-m", "edge_agent.cli", "--artifact", str(ARTIFACT), "--provider", "CUDAExecutionProvider"]
    done = subprocess.run([*call, "predict", str(next(PHOTOS.glob("*/*.jpg")))], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    one_line = done.stderr.count("\n") == 1 and done.stderr.startswith("error: CUDAExecutionProvider cannot be used: ")
    named = ".so" in done.stderr or "GPU" in done.stderr
    if done.returncode != 69 or not one_line or not named or done.stdout:
        return f"CUDA fails with {done.returncode}: {(done.stdout + done.stderr)[-300:]}"
    return ""


def tried(row: Row, wheel: Path, reference: Mapping[str, Any], folder: Path) -> tuple[tuple[str, ...], bool]:
    """The row of the table, and whether it is as it should be."""
    start = (row.python, row.runtime.replace("==", " "))
    if not row.interpreter:
        return (*start, "", "", "", "", "", "not installed here"), True
    try:
        python = environment(row.interpreter, folder, [str(wheel), row.runtime])
        found = Device((str(python),)).check()
        faults, worst = differences(reference, found)
        if found["engine"] != row.engine:
            faults.append(f"engine auto took {found['engine']}: {found['engine_reason']}")
        if row.engine != "portable":
            second, further = differences(reference, Device((str(python),)).check("--engine", "portable"))
            faults, worst = [*faults, *(f"portable: {fault}" for fault in second)], max(worst, further)
        if row.cuda and (fault := cuda_fault(python)):
            faults.append(fault)
    except CommandError as error:
        return (*start, "", row.engine, "", "", "", f"FAILED: {error}"), False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    name = row.runtime.split("==")[0]
    engines = found["engine"] if row.engine == "portable" else f"{found['engine']}, portable"
    provider = found["provider"].removesuffix("ExecutionProvider")
    facts = (row.python, f"{name} {found['onnxruntime']}", found["numpy"], engines, provider, found["health"]["status"], f"{worst:.0e}")
    return (*facts, f"FAILED: {'; '.join(faults)}" if faults else "same"), not faults


def main() -> None:
    """Try every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gpu-wheels", action="store_true", help="also the two wheels with CUDA: 600 MB to fetch")
    parser.add_argument("--only", metavar="TEXT", default="", help="only rows that hold this text, such as 3.13 or training")
    given = parser.parse_args()
    reference = Device((sys.executable,), {**os.environ, "PYTHONPATH": str(ARTIFACT.parents[1])}).check()
    lines, good = [], True
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for row in rows(interpreters(), given.gpu_wheels):
            if given.only in f"{row.python} {row.runtime}":
                line, fine = tried(row, wheel, reference, Path(folder, "environment"))
                lines.append(line)
                good = good and fine
                print(" ".join(line), file=sys.stderr, flush=True)
    print(f"{platform.system()} {platform.machine()}; compared with onnxruntime {reference['onnxruntime']}, {reference['engine']}\n")
    print(table(TITLES, lines))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
