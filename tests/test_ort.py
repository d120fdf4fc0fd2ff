from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.errors import RuntimeUnavailable
from edge_agent.ort import import_onnxruntime

ROOT = Path(__file__).parents[1]
needs_runtime = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="no ONNX Runtime is installed here")


def fresh(code: str) -> str:
    """What a fresh process prints, with nothing on stderr."""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.strip()


@needs_runtime
def test_neither_torch_nor_onnx_comes_with_it() -> None:
    code = """
import sys
from edge_agent.ort import import_onnxruntime
runtime = import_onnxruntime()
assert runtime is sys.modules["onnxruntime"] is import_onnxruntime()
assert "CPUExecutionProvider" in runtime.get_available_providers()
assert "onnxruntime.training.ortmodule" not in sys.modules, "another program may still want it"
print(sorted({"torch", "torchvision", "onnx"} & set(sys.modules)))
"""
    assert fresh(code) == "[]"


@needs_runtime
def test_threads_may_ask_at_once() -> None:
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from edge_agent.ort import import_onnxruntime
with ThreadPoolExecutor(8) as pool:
    found = [task.result() for task in [pool.submit(lambda: import_onnxruntime().get_available_providers()) for _ in range(8)]]
assert all("CPUExecutionProvider" in providers for providers in found)
assert "onnxruntime.training.ortmodule" not in sys.modules
print(sorted({"torch", "onnx"} & set(sys.modules)))
"""
    assert fresh(code) == "[]"


@needs_runtime
def test_runtime_that_is_already_there_is_left_as_it_is() -> None:
    code = """
import sys, types
sys.modules["onnxruntime"] = stranger = types.ModuleType("onnxruntime")
from edge_agent.ort import import_onnxruntime
print(import_onnxruntime() is stranger)
"""
    assert fresh(code) == "True"


def test_no_runtime_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeUnavailable, match="cannot be imported") as caught:
        import_onnxruntime()
    assert "onnx-edge-agent[cpu]" in caught.value.hint
    assert caught.value.exit_code == 69


def test_runtime_that_does_not_load_is_our_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text('raise ImportError("libfoo.so.1: cannot open shared object file")')
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from edge_agent.errors import RuntimeUnavailable
from edge_agent.ort import import_onnxruntime
for _ in range(2):
    try:
        import_onnxruntime()
    except RuntimeUnavailable as error:
        print(error.message, "onnxruntime.training.ortmodule" in sys.modules)
"""
    line = "ONNX Runtime cannot be imported: libfoo.so.1: cannot open shared object file False"
    assert fresh(code).splitlines() == [line, line]
