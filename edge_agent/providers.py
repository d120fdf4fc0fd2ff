"""Sessions on the CPU or on CUDA: what works here, and what is missing where it does not."""

from __future__ import annotations

import contextlib
import ctypes
import io
from pathlib import Path
from typing import Any

from edge_agent.errors import ArtifactError, RuntimeUnavailable
from edge_agent.ort import import_onnxruntime

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
PROVIDERS = ("auto", CPU, CUDA)
# TensorFloat-32 keeps 10 bits of a float32: labels and heads would differ from the CPU's.
CUDA_OPTIONS = {"use_tf32": "0"}
_ERROR, _FATAL = 3, 4  # severities of its log


def cpu_session(network: bytes, name: str, threads: int) -> Any:
    """A session on the CPU.

    Args:
        network: verified bytes of an ONNX file.
        name: the file's name in the artifact, for the error.
        threads: of one run; 0 leaves the choice to ONNX Runtime.

    Returns:
        The `onnxruntime.InferenceSession`.

    Raises:
        RuntimeUnavailable: no ONNX Runtime.
        ArtifactError: ONNX Runtime refuses the file.
    """
    try:
        return import_onnxruntime().InferenceSession(network, _options(threads), providers=[CPU])
    except RuntimeUnavailable:
        raise
    except Exception as error:  # the runtime's exceptions have no common class
        raise ArtifactError(f"ONNX Runtime refuses {name}: {error}", "build the artifact again") from None


def try_cuda(network: bytes, threads: int) -> tuple[Any | None, str]:
    """A session on CUDA, or None and what is missing; a session that fell back to the CPU without a word counts as none.

    Args:
        network: verified bytes of an ONNX file.
        threads: of one run, for what CUDA leaves to the CPU.

    Returns:
        The session and "", or None and the reason in words.

    Raises:
        RuntimeUnavailable: no ONNX Runtime.
    """
    runtime = import_onnxruntime()
    available = runtime.get_available_providers()
    if CUDA not in available:
        return None, f"this ONNX Runtime was built without it (it has {', '.join(available)})"
    session, fault = _attempt(runtime, network, threads)
    if session is None and hasattr(runtime, "preload_dlls"):  # since 1.21: CUDA from NVIDIA's own wheels
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            runtime.preload_dlls()
        session, fault = _attempt(runtime, network, threads)
    return session, fault


def _attempt(runtime: Any, network: bytes, threads: int) -> tuple[Any | None, str]:
    runtime.set_default_logger_severity(_FATAL)  # it would write on stderr what we return
    try:
        # without `enable_fallback` the Python layer neither prints on stdout nor starts a session on the CPU instead
        options, settings = _options(threads), [CUDA_OPTIONS]
        session = runtime.InferenceSession(network, options, providers=[CUDA], provider_options=settings, enable_fallback=False)
    except Exception as error:  # no common class, see above
        return None, _first_line(str(error))
    finally:
        runtime.set_default_logger_severity(_ERROR)
    return (session, "") if session.get_providers()[0] == CUDA else (None, _library_fault(runtime))


def _options(threads: int) -> Any:
    options = import_onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    return options


def _library_fault(runtime: Any) -> str:
    """What the loader says about the provider's library; it names the CUDA library that is missing.

    Only to be asked after ONNX Runtime has failed to load it: the library needs what the runtime prepares for it.
    """
    folder = Path(runtime.__file__).parent / "capi"
    for name in ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"):
        try:
            ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            return _first_line(str(error))
    return "no usable GPU or driver was found"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else "no reason given"
