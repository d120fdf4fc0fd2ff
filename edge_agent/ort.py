"""Importing ONNX Runtime without what its training wheel drags in."""

from __future__ import annotations

import sys
from typing import Any

from edge_agent.errors import RuntimeUnavailable

_PROBE = "onnxruntime.training.ortmodule"


def import_onnxruntime() -> Any:
    """Import `onnxruntime`, and with the training wheel neither torch nor onnx.

    That wheel looks for `ORTModule` at import, and the look loads torch (seconds, 500 MB) where it is installed and onnx
    everywhere. A `None` in `sys.modules` makes just this import fail, which the wheel expects; it is taken away afterwards, so
    that a program that wants ORTModule can still have it.

    Returns:
        The module `onnxruntime`, untyped as it is.

    Raises:
        RuntimeUnavailable: no ONNX Runtime in this environment, or one that does not load.
    """
    first = "onnxruntime" not in sys.modules  # where it is there, another thread may be importing it: the import below waits for it
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
        onnxruntime.set_default_logger_severity(3)  # its warnings would stand between our lines; errors are raised as ours
    return onnxruntime
