"""Importing ONNX Runtime without what its training wheel drags in, and not where two of its wheels share one module."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from edge_agent.errors import RuntimeUnavailable

OLDEST = (1, 18)
"""The oldest ONNX Runtime that reads an artifact: 1.17 refuses its IR version, 10."""
# The wheels that install the module `onnxruntime`, with our extra that asks for each; the first one found gives the advice.
WHEELS = {
    "onnxruntime-training-cpu": "cpu",
    "onnxruntime-training": "cuda",
    "onnxruntime-gpu": "portable-gpu",
    "onnxruntime": "portable",
    "onnxruntime-directml": "portable",
    "onnxruntime-openvino": "portable",
    "onnxruntime-qnn": "portable",
}
_PROBE = "onnxruntime.training.ortmodule"


def import_onnxruntime() -> Any:
    """Import `onnxruntime`, and with the training wheel neither torch nor onnx.

    That wheel looks for `ORTModule` at import, and the look loads torch (seconds, 500 MB) where it is installed and onnx
    everywhere. A `None` in `sys.modules` makes just this import fail, which the wheel expects; it is taken away afterwards, so
    that a program that wants ORTModule can still have it.

    Returns:
        The module `onnxruntime`, untyped as it is.

    Raises:
        RuntimeUnavailable: no ONNX Runtime in this environment, one that does not load or is too old, or two at once.
    """
    first = "onnxruntime" not in sys.modules  # where it is there, another thread may be importing it: the import below waits for it
    if first:
        _refuse_two()
    blocked = first and _PROBE not in sys.modules
    if blocked:
        sys.modules[_PROBE] = None  # type: ignore[assignment]
    try:
        import onnxruntime
    except ImportError as error:
        hint = "pip install 'onnx-edge-agent[cpu]', or [portable] where there is no training wheel"
        raise RuntimeUnavailable(f"ONNX Runtime cannot be imported: {error}", hint) from None
    finally:
        if blocked:
            sys.modules.pop(_PROBE, None)
    if first:
        _refuse_unfit(onnxruntime)
        onnxruntime.set_default_logger_severity(3)  # its warnings would stand between our lines; errors are raised as ours
    return onnxruntime


def installed_wheels(folder: Path) -> tuple[str, ...]:
    """The ONNX Runtime wheels that are installed in a folder, by what pip left beside them; `importlib.metadata` takes 30 ms for it."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".dist-info")]
    except OSError:
        return ()
    found = {name.split("-")[0].replace("_", "-").lower() for name in names}
    return tuple(name for name in WHEELS if name in found)


def runtime_stamp() -> str:
    """Which ONNX Runtime this environment has, such as "onnxruntime_training_cpu-1.19.2", without importing it; "" where none is found."""
    try:
        spec = importlib.util.find_spec("onnxruntime")
        names = os.listdir(Path(spec.origin).parents[1]) if spec is not None and spec.origin else []
    except (OSError, ValueError, ImportError):
        return ""
    wheels = [name.removesuffix(".dist-info") for name in names if name.startswith("onnxruntime") and name.endswith(".dist-info")]
    return " ".join(sorted(wheels))


def _refuse_two() -> None:
    """Two wheels in one folder overwrite each other's files, and what then loads is neither."""
    spec = importlib.util.find_spec("onnxruntime")
    wheels = installed_wheels(Path(spec.origin).parents[1]) if spec is not None and spec.origin else ()
    if len(wheels) > 1:
        names = " and ".join(wheels)
        raise RuntimeUnavailable(f"{names} are both installed, and each overwrites files of the other", _reinstall(wheels))


def _refuse_unfit(module: Any) -> None:
    """What is left of a module when one of two wheels was uninstalled, and versions that cannot read an artifact."""
    fault = ""
    version = str(getattr(module, "__version__", ""))
    if not hasattr(module, "InferenceSession"):
        fault = "the module onnxruntime is here and holds nothing: a wheel that shared it was uninstalled"
    elif tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST:
        fault = f"ONNX Runtime {version} is too old, expected {OLDEST[0]}.{OLDEST[1]} or later"
    if fault:
        del sys.modules["onnxruntime"]  # the next call shall say so too
        folders = [Path(folder).parent for folder in getattr(module, "__path__", ())]
        wheels = next((found for folder in folders if (found := installed_wheels(folder))), ("onnxruntime",))
        raise RuntimeUnavailable(fault, _reinstall(wheels))


def _reinstall(wheels: tuple[str, ...]) -> str:
    return f"pip uninstall -y {' '.join(wheels)} && pip install 'onnx-edge-agent[{WHEELS[wheels[0]]}]'"
