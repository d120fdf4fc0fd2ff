"""The trial in a child process with limits of memory and time: a crash, a hang or a memory bomb in the runtime becomes a refusal.

The child is a fresh Python with this one's search path. It checks that what it opens is what its parent opened, by digest.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_agent.errors import ArtifactError, RuntimeUnavailable
from edge_agent.trial_limits import TrialLimits, limit_process

_START = "import sys, json; given = json.load(sys.stdin); sys.path[:] = given['path']; from edge_agent.trial_child import main; main(given)"
_QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}  # threads reserve address space, which is limited
_OPEN_FILES = 256
_HINT = "do not use this artifact; or, if it is only large or this machine slow, raise trial_memory_bytes or trial_timeout_s"


def try_in_child(path: Path, digest: str, with_golden: bool, limits: TrialLimits) -> None:
    """Try an artifact where it can do no harm.

    Args:
        path: the artifact's directory.
        digest: of the artifact that was opened there.
        with_golden: see `trial.try_artifact`.
        limits: of the child.

    Raises:
        ArtifactError: the artifact was refused, or its process died, took too long or needed too much.
        RuntimeUnavailable: no ONNX Runtime here, or no child process can be started.
    """
    if getattr(sys, "frozen", False) or not sys.executable:
        raise _no_child("this program is not run by a Python of its own")
    given = {
        "path": sys.path, "artifact": os.path.abspath(path), "digest": digest, "with_golden": with_golden,
        "timeout_s": limits.timeout_s, "memory_bytes": limits.memory_bytes,
    }  # fmt: skip
    try:
        child = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _START],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **_QUIET},
        )  # fmt: skip
    except OSError as error:
        raise _no_child(str(error)) from None
    with child:
        try:
            said, _ = child.communicate(json.dumps(given).encode(), limits.timeout_s)
        except subprocess.TimeoutExpired:
            raise _harmful(f"took longer than {limits.timeout_s} s") from None
        finally:
            child.kill()
    _hear(said, child.returncode, limits)


def main(given: dict[str, Any]) -> None:
    """The child's whole life: limits first, then the trial; its verdict is one line on what was standard output."""
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints is not the verdict
    with contextlib.suppress(AttributeError, ValueError, OSError):
        signal.setitimer(signal.ITIMER_REAL, given["timeout_s"] + 1)  # it does not outlive a parent that was killed
    limit_process(TrialLimits(given["timeout_s"], given["memory_bytes"]), _OPEN_FILES)
    try:
        verdict = _verdict(Path(given["artifact"]), given["digest"], given["with_golden"])
    except MemoryError:
        verdict = {"fault": "artifact", "message": _too_much(given["memory_bytes"]), "hint": _HINT}
    os.write(answers, json.dumps(verdict).encode())
    os._exit(0)  # nothing that the runtime would still do at its end is of interest


def _verdict(path: Path, digest: str, with_golden: bool) -> dict[str, str]:
    from edge_agent.artifact import Artifact
    from edge_agent.trial import try_artifact

    try:
        artifact = Artifact.open(path)
        if artifact.digest != digest:
            raise ArtifactError(f"{path} was changed while it was opened", "open it again when nobody writes to it")
        try_artifact(artifact, with_golden)
    except ArtifactError as error:
        is_memory = "bad_alloc" in error.message or "bad allocation" in error.message or "Failed to allocate memory" in error.message
        found = f"{error.message}: it needs more memory than the trial allows" if is_memory else error.message
        return {"fault": "artifact", "message": found, "hint": error.hint}
    except RuntimeUnavailable as error:
        return {"fault": "runtime", "message": error.message, "hint": error.hint}
    except MemoryError:
        raise
    except Exception as error:  # a trial that fails in any other way has not been passed either
        return {"fault": "artifact", "message": f"the artifact cannot be loaded: {type(error).__name__}: {error}", "hint": _HINT}
    return {"fault": ""}


def _hear(said: bytes, status: int, limits: TrialLimits) -> None:
    try:
        verdict = json.loads(said)
    except ValueError:
        raise _harmful(_end(status, limits)) from None
    if verdict["fault"] == "runtime":
        raise RuntimeUnavailable(verdict["message"], verdict["hint"])
    if verdict["fault"]:
        raise ArtifactError(verdict["message"], verdict["hint"])


def _end(status: int, limits: TrialLimits) -> str:
    if status == -getattr(signal, "SIGXCPU", 0):
        return f"took longer than {limits.timeout_s} s of the processor"
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"
    return f"{how}; allowed were {limits.timeout_s} s and {limits.memory_bytes // 2**20} MiB"


def _harmful(found: str) -> ArtifactError:
    return ArtifactError(f"the artifact was loaded in a child process, which {found}", _HINT)


def _too_much(memory_bytes: int) -> str:
    return f"the artifact needs more memory than the {memory_bytes // 2**20} MiB of its trial"


def _no_child(reason: str) -> RuntimeUnavailable:
    hint = "set trial_timeout_s to 0 to load it without one"
    return RuntimeUnavailable(f"no child process for the artifact's first load: {reason}", hint)
