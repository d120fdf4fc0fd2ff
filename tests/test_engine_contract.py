"""The contract test that is shipped, engines that others register, and the choice of engine and provider."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from on_device import ARTIFACT, ROOT

from edge_agent import engines
from edge_agent.artifact import Artifact
from edge_agent.cli import run
from edge_agent.engines import engine_names, onnxruntime_training, open_engine, portable
from edge_agent.engines.conformance import Oracle, a_batch, check_engine
from edge_agent.engines.contract import Batch, FloatArray
from edge_agent.errors import ArtifactError, RuntimeUnavailable
from edge_agent.providers import CPU, CUDA

needs_training = pytest.mark.skipif(not onnxruntime_training.available(), reason="this ONNX Runtime was built without training")


def register(monkeypatch: pytest.MonkeyPatch, **factories: object) -> None:
    """Entry points as another distribution's metadata gives them."""
    points = [SimpleNamespace(name=name, load=lambda made=made: made) for name, made in factories.items()]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == engines.GROUP else [])


@pytest.mark.parametrize("name", ["portable", pytest.param("onnxruntime-training", marks=needs_training), "auto"])
def test_our_engines_keep_the_contract(default_artifact: Artifact, name: str) -> None:
    clauses = check_engine(default_artifact, name)
    assert len(clauses) > 10
    assert not [clause for clause in clauses if not clause.holds]


def test_another_engine_is_registered_selected_and_checked(
    default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, oracle=Oracle)
    assert engine_names() == ("auto", "onnxruntime-training", "portable", "oracle")
    engine, reason = open_engine(default_artifact, "oracle", CPU)
    assert isinstance(engine, Oracle) and reason == "asked for"
    folder = str(default_artifact.path)
    assert run(["--artifact", folder, "check-engine", "oracle"]) == 0
    assert "FAILED" not in capsys.readouterr().out
    assert run(["--artifact", folder, "--engine", "oracle", "info"]) == 0
    assert "oracle" in capsys.readouterr().out


def test_another_distribution_is_found_by_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "third_party.py").write_text("from edge_agent.engines.conformance import Oracle as Engine\nEngine.name = 'third-party'\n")
    described = tmp_path / "third_party-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[{engines.GROUP}]\nthird-party = third_party:Engine\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "edge_agent.cli", "--artifact", str(ARTIFACT), "check-engine", "third-party"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ok ") == len(done.stdout.splitlines()) > 10


class Sloppy(Oracle):
    """Breaks one clause of the contract each time."""

    name = "sloppy"

    def __init__(self, artifact: Artifact, fault: str) -> None:
        self.fault, self.kept, self.count = "", np.zeros(0, np.float32), 0
        super().__init__(artifact)
        self.fault = fault

    def reset(self, rows: int) -> None:
        if self.fault == "old":
            self._parameter = np.resize(self._parameter, (self._classes, rows))
        else:
            super().reset(rows - 1 if self.fault == "small" and rows > 3 else rows)

    def step(self, batch: Batch, learning_rate: float) -> FloatArray:
        self.count += 1
        if self.fault == "mean":
            learning_rate /= len(batch.weights)
        if self.fault == "random":
            learning_rate *= 1 + 1e-6 * self.count
        if self.fault == "weights":
            batch = replace(batch, weights=np.ones_like(batch.weights))
        logits = super().step(batch, learning_rate)
        if self.fault == "writes":
            batch.targets[:] = 0
        if self.fault == "one array":
            self.kept = logits if self.kept.shape != logits.shape else self.kept
            self.kept[:] = logits
            return self.kept
        if self.fault == "unused":
            self._parameter[-1] += 1e-6
        return logits.astype(np.float64) if self.fault == "double" else logits  # type: ignore[return-value]

    def coefficients(self) -> FloatArray:
        if self.fault == "raises":
            raise KeyError("boom")
        return super().coefficients()


@pytest.mark.parametrize(
    ("fault", "clause"),
    [
        ("old", "starts from zero"), ("small", "starts from zero"), ("mean", "one step equals"), ("double", "one step equals"),
        ("random", "same bytes"), ("weights", "weight zero"), ("writes", "batch stays"), ("one array", "was returned stays"),
        ("unused", "not in use"), ("raises", "starts from zero"),
    ],
)  # fmt: skip
def test_contract_test_finds_what_is_wrong(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch, fault: str, clause: str) -> None:
    register(monkeypatch, sloppy=lambda artifact, provider: Sloppy(artifact, fault))
    found = [each for each in check_engine(default_artifact, "sloppy") if clause in each.name]
    assert len(found) == 1
    assert not found[0].holds and found[0].detail


def test_an_engine_under_another_name_does_not_conform(
    default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, other=Oracle)
    assert not check_engine(default_artifact, "other")[0].holds
    assert run(["--artifact", str(default_artifact.path), "check-engine", "other", "--json"]) == 1
    assert '"holds": false' in capsys.readouterr().out


def test_unknown_engines_are_named_with_those_that_are_there(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, tpu=Oracle)
    with pytest.raises(RuntimeUnavailable) as caught:
        open_engine(default_artifact, "cuda")
    assert caught.value.hint == "use one of auto, onnxruntime-training, portable, tpu"


def test_a_registered_engine_that_breaks_is_our_error(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(artifact: Artifact, provider: str) -> Oracle:
        raise OSError("no such device")

    def refuses(artifact: Artifact, provider: str) -> Oracle:
        raise RuntimeUnavailable("no board", "plug it in")

    register(monkeypatch, breaks=breaks, refuses=refuses)
    with pytest.raises(RuntimeUnavailable, match="breaks cannot be started: OSError: no such device"):
        open_engine(default_artifact, "breaks")
    with pytest.raises(RuntimeUnavailable, match="no board"):
        open_engine(default_artifact, "refuses")


def test_our_own_names_cannot_be_taken(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, portable=Oracle, auto=Oracle)
    assert isinstance(open_engine(default_artifact, "portable")[0], portable.PortableEngine)
    assert engine_names() == engines.ENGINES


def test_nobody_looks_for_registered_engines_without_need(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: pytest.fail("asked"))
    for name in ("auto", "portable"):
        open_engine(default_artifact, name)


@needs_training
def test_auto_says_why(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, reason = open_engine(default_artifact, "auto")
    assert (engine.name, reason) == ("onnxruntime-training", "this ONNX Runtime can train, and the artifact has its files")

    files = {name: entry for name, entry in default_artifact.manifest.files.items() if not name.startswith("training/")}
    facts = SimpleNamespace(**{**vars(default_artifact.manifest), "files": files})
    engine, reason = open_engine(replace(default_artifact, manifest=facts), "auto")  # type: ignore[arg-type]
    assert (engine.name, reason) == ("portable", "the artifact has no files for onnxruntime-training")

    def refuse(artifact: Artifact) -> None:
        raise ArtifactError("ONNX Runtime refuses the training files: bad magic", "build the artifact again")

    monkeypatch.setattr(onnxruntime_training, "OnnxRuntimeTrainingEngine", refuse)
    engine, reason = open_engine(default_artifact, "auto")
    assert engine.name == "portable"
    assert reason == "onnxruntime-training cannot be used: ONNX Runtime refuses the training files: bad magic"
    with pytest.raises(ArtifactError):
        open_engine(default_artifact, "onnxruntime-training")


def test_the_portable_step_follows_the_backbone_to_cuda(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def no_cuda(network: bytes, threads: int) -> tuple[None, str]:
        asked.append(threads)
        return None, "libcublasLt.so.13: cannot open shared object file"

    monkeypatch.setattr(portable, "try_cuda", no_cuda)
    engine, reason = open_engine(default_artifact, "portable", CUDA)
    assert isinstance(engine, portable.PortableEngine)
    assert (asked, engine.provider) == ([1], CPU)
    assert reason == f"asked for; {CUDA} cannot run the step: libcublasLt.so.13: cannot open shared object file"
    assert open_engine(default_artifact, "portable", CPU)[1] == "asked for" and len(asked) == 1
    engine.reset(3)
    assert np.isfinite(engine.step(a_batch(default_artifact, 3, 3), 0.1)).all()


def test_a_session_on_cuda_gets_its_values_there(default_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    session = portable.cpu_session(default_artifact.read(portable.GRAPH), portable.GRAPH, 1)
    where: list[str] = []
    real: Callable[[FloatArray, str], object] = portable._on_device

    def on_device(array: FloatArray, device: str) -> object:
        where.append(device)
        return real(array, "cpu")  # there need not be a GPU here

    monkeypatch.setattr(portable, "try_cuda", lambda network, threads: (session, ""))
    monkeypatch.setattr(portable, "_on_device", on_device)
    engine, reason = open_engine(default_artifact, "portable", CUDA)
    assert reason == f"asked for; {CUDA} runs the backbone too"
    engine.reset(4)
    batch, oracle = a_batch(default_artifact, 4, 4), Oracle(default_artifact)
    oracle.reset(4)
    for _ in range(3):
        assert np.allclose(engine.step(batch, 0.1)[:, :10], oracle.step(batch, 0.1)[:, :10], atol=1e-5)
    assert where == ["cuda"] * 5 + ["cpu"], "the parameter twice, kernel, base logits, targets; the logits come back"


def test_a_step_that_fails_is_our_error(default_artifact: Artifact) -> None:
    engine = portable.PortableEngine(default_artifact)
    engine.reset(3)
    with pytest.raises(RuntimeUnavailable, match="failed on a step"):
        engine.step(a_batch(default_artifact, 4, 4), 0.1)
