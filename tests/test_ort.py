from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.errors import RuntimeUnavailable
from edge_agent.ort import import_onnxruntime, installed_wheels

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
from edge_agent.ort import import_onnxruntime, installed_wheels
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
from edge_agent.ort import import_onnxruntime, installed_wheels
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
from edge_agent.ort import import_onnxruntime, installed_wheels
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
from edge_agent.ort import import_onnxruntime, installed_wheels
for _ in range(2):
    try:
        import_onnxruntime()
    except RuntimeUnavailable as error:
        print(error.message, "onnxruntime.training.ortmodule" in sys.modules)
"""
    line = "ONNX Runtime cannot be imported: libfoo.so.1: cannot open shared object file False"
    assert fresh(code).splitlines() == [line, line]


def pretend(folder: Path, module: str, *wheels: str) -> str:
    """A folder with a module `onnxruntime` and what pip leaves beside it; returns code that puts it first and imports the runtime."""
    (folder / "onnxruntime").mkdir()
    (folder / "onnxruntime/__init__.py").write_text(module)
    for wheel in wheels:
        (folder / f"{wheel}.dist-info").mkdir()
    return f"""
import sys
sys.path.insert(0, {str(folder)!r})
from edge_agent.errors import RuntimeUnavailable
from edge_agent.ort import import_onnxruntime, installed_wheels
for _ in range(2):
    try:
        import_onnxruntime()
    except RuntimeUnavailable as error:
        print(error)
"""


FITS = "__version__ = '1.20.1'\nInferenceSession = 1\ndef set_default_logger_severity(level): pass\n"


@pytest.mark.parametrize(
    ("wheels", "named", "extra"),
    [
        (["onnxruntime-1.31.1", "onnxruntime_training_cpu-1.19.2"], "onnxruntime-training-cpu and onnxruntime", "cpu"),
        (["onnxruntime_gpu-1.31.1", "onnxruntime-1.31.1"], "onnxruntime-gpu and onnxruntime", "portable-gpu"),
        (["onnxruntime_training-1.19.2", "onnxruntime_gpu-1.20.0"], "onnxruntime-training and onnxruntime-gpu", "cuda"),
    ],
)
def test_two_runtimes_at_once_are_refused_before_either_loads(tmp_path: Path, wheels: list[str], named: str, extra: str) -> None:
    lines = fresh(pretend(tmp_path, "raise SystemExit('loaded')", *wheels)).splitlines()
    expected = (
        f"{named} are both installed, and each overwrites files of the other; "
        f"hint: pip uninstall -y {named.replace(' and ', ' ')} && pip install 'onnx-edge-agent[{extra}]'"
    )
    assert lines == [expected, expected]


def test_one_runtime_with_others_of_a_like_name_is_taken(tmp_path: Path) -> None:
    assert fresh(pretend(tmp_path, FITS, "onnxruntime-1.20.1", "onnxruntime_extensions-0.14.0", "onnxruntime_genai-0.6")) == ""


def test_what_is_left_of_an_uninstalled_runtime_is_named(tmp_path: Path) -> None:
    code = pretend(tmp_path, "", "onnxruntime_training_cpu-1.19.2")
    (tmp_path / "onnxruntime/__init__.py").unlink()
    code = code.replace("import sys\n", "import sys\nsys.path = [p for p in sys.path if 'site-packages' not in p]\n", 1)
    lines = fresh(code).splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert "holds nothing: a wheel that shared it was uninstalled" in lines[0]
    assert "pip uninstall -y onnxruntime-training-cpu && pip install 'onnx-edge-agent[cpu]'" in lines[0]


@pytest.mark.parametrize(("version", "fits"), [("1.17.3", False), ("1.9.0", False), ("1.18.1", True), ("2.0.0rc1", True)])
def test_the_oldest_version_is_known(tmp_path: Path, version: str, fits: bool) -> None:
    found = fresh(pretend(tmp_path, FITS.replace("1.20.1", version), f"onnxruntime-{version}"))
    assert ("too old, expected 1.18 or later" in found) is not fits


def test_the_look_costs_nothing(tmp_path: Path) -> None:
    code = pretend(tmp_path, FITS, "onnxruntime-1.20.1") + "print('importlib.metadata' in sys.modules)"
    assert fresh(code) == "False"
    assert installed_wheels(tmp_path / "nowhere") == ()
