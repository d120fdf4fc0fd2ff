from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from on_device import ARTIFACT

from edge_agent import providers
from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError, RuntimeUnavailable
from edge_agent.providers import CPU, CUDA, cpu_session, try_cuda
from edge_agent.runtime import Backbone

STEP = (ARTIFACT / "portable/step.onnx").read_bytes()


class FakeRuntime:
    """ONNX Runtime's Python face as it is with CUDA in the wheel, and what happens when a session is asked for."""

    def __init__(self, folder: Path, outcomes: list[Any], built_with: tuple[str, ...] = (CUDA, CPU)) -> None:
        self.__file__, self.outcomes, self.built_with = str(folder / "__init__.py"), outcomes, built_with
        self.calls: list[dict[str, Any]] = []
        self.severities: list[int] = []
        self.SessionOptions = SimpleNamespace

    def get_available_providers(self) -> list[str]:
        return list(self.built_with)

    def set_default_logger_severity(self, level: int) -> None:
        self.severities.append(level)

    def InferenceSession(self, network: bytes, options: Any, **how: Any) -> Any:
        self.calls.append(how)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return SimpleNamespace(get_providers=lambda: outcome)


Install = Callable[..., FakeRuntime]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    def make(*outcomes: Any, built_with: tuple[str, ...] = (CUDA, CPU)) -> FakeRuntime:
        runtime = FakeRuntime(tmp_path, list(outcomes), built_with)
        monkeypatch.setattr(providers, "import_onnxruntime", lambda: runtime)
        return runtime

    return make


def test_cuda_that_works(install: Install) -> None:
    runtime = install([CUDA, CPU])
    session, fault = try_cuda(STEP, 1)
    assert session is not None and fault == ""
    how = {"providers": [CUDA], "provider_options": [{"use_tf32": "0"}], "enable_fallback": False}
    assert runtime.calls == [how], "full float32, and no second try behind our back"
    assert runtime.severities == [4, 3], "its log is silent for the attempt alone"


def test_a_wheel_without_cuda(install: Install) -> None:
    runtime = install(built_with=("AzureExecutionProvider", CPU))
    assert try_cuda(STEP, 1) == (None, f"this ONNX Runtime was built without it (it has AzureExecutionProvider, {CPU})")
    assert runtime.calls == []


def test_a_session_that_fell_back_without_a_word_is_none(install: Install) -> None:
    install([CPU])
    session, fault = try_cuda(STEP, 1)
    assert session is None
    assert "libonnxruntime_providers_shared.so: cannot open shared object file" in fault


def test_an_attempt_that_raises_is_told_in_one_line(install: Install) -> None:
    runtime = install(RuntimeError("CUDA failure 100: no CUDA-capable device is detected\nGPU=0 ; hostname=x"))
    assert try_cuda(STEP, 1) == (None, "CUDA failure 100: no CUDA-capable device is detected")
    assert runtime.severities == [4, 3]


def test_nvidias_own_wheels_are_loaded_and_it_is_tried_again(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    runtime = install([CPU], [CUDA, CPU])
    runtime.preload_dlls = lambda: print("Failed to load libcufft.so.12")  # type: ignore[attr-defined]
    session, fault = try_cuda(STEP, 1)
    assert session is not None and fault == "" and len(runtime.calls) == 2
    assert capsys.readouterr().out == "", "stdout belongs to our answers"


def test_preloading_that_fails_is_no_fault_of_its_own(install: Install) -> None:
    def breaks() -> None:
        raise OSError("broken wheel")

    install(RuntimeError("first"), RuntimeError("")).preload_dlls = breaks  # type: ignore[attr-defined]
    assert try_cuda(STEP, 1) == (None, "no reason given")


def test_cpu_session_refuses_as_the_artifacts_fault() -> None:
    with pytest.raises(ArtifactError, match=r"ONNX Runtime refuses portable/step\.onnx"):
        cpu_session(b"nonsense", "portable/step.onnx", 1)
    assert cpu_session(STEP, "portable/step.onnx", 1).get_providers() == [CPU]


def test_no_runtime_is_not_the_artifacts_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise RuntimeUnavailable("no ONNX Runtime", "install one")

    monkeypatch.setattr(providers, "import_onnxruntime", none)
    for start in (lambda: cpu_session(STEP, "x", 1), lambda: try_cuda(STEP, 1)):
        with pytest.raises(RuntimeUnavailable, match="no ONNX Runtime"):
            start()


def test_the_backbone_says_which_provider_and_why(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [Backbone.open(default_artifact, name, 1) for name in (CPU, "auto")]
    assert [backbone.provider for backbone in chosen] == [CPU, CPU]
    assert chosen[0].reason == "asked for"
    assert chosen[1].reason.startswith(f"{CUDA} cannot be used: ")
    with pytest.raises(RuntimeUnavailable, match=r"^CUDAExecutionProvider cannot be used: .* has .*\[portable-gpu\]"):
        Backbone.open(default_artifact, CUDA, 1)
    with pytest.raises(RuntimeUnavailable, match="'TPU' is not supported"):
        Backbone.open(default_artifact, "TPU", 1)
    session = chosen[0].session
    monkeypatch.setattr("edge_agent.runtime.try_cuda", lambda network, threads: (session, ""))
    assert [Backbone.open(default_artifact, name, 1).reason for name in (CUDA, "auto")] == ["asked for", "CUDA works here"]
