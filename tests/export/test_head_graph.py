from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge_agent.errors import RuntimeUnavailable
from export import clean, head_graph, written
from export.head_graph import Head, write_training
from export.signatures import CHECKPOINT, HEAD_INPUTS, TRAINING_GRAPHS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("head") / "training"
    write_training(Head(9, 100), path)
    return path


def case(capacity: int, count: int = 7) -> written.StepCase:
    rng = np.random.default_rng(0)
    context = rng.normal(size=(count, 12)).astype(np.float32)
    context /= np.linalg.norm(context, axis=1, keepdims=True)
    return written.step_case(context, rng.normal(0, 3, (count, 6)).astype(np.float32), np.arange(count) % 6, 3, capacity)


def test_loss_is_the_weighted_cross_entropy_with_soft_targets() -> None:
    head, rng = Head(4, 3), np.random.default_rng(0)
    torch.nn.init.normal_(head.coefficients)
    kernel, base, weights = (torch.from_numpy(rng.normal(size=s).astype(np.float32)) for s in ((5, 3), (5, 4), (5,)))
    targets = torch.softmax(torch.from_numpy(rng.normal(size=(5, 4)).astype(np.float32)), 1)
    loss, logits = head(kernel, base, targets, weights)
    assert torch.allclose(logits, base + kernel @ head.coefficients.T)
    each = torch.nn.functional.cross_entropy(logits, targets, reduction="none").detach()
    assert loss.item() == pytest.approx(float((weights * each).sum()), rel=1e-5)


def test_row_without_weight_teaches_nothing() -> None:
    head = Head(4, 3)
    kernel, base, targets = torch.eye(3), torch.zeros(3, 4), torch.eye(4)[:3]
    head(kernel, base, targets, torch.tensor([1.0, 0.0, 0.0]))[0].backward()
    assert head.coefficients.grad is not None
    assert head.coefficients.grad[:, 0].any() and not head.coefficients.grad[:, 1:].any()


def test_absent_class_is_not_moved() -> None:
    head = Head(4, 3)
    base = torch.tensor([[0.0, 1.0, 0.5, written.ABSENT_LOGIT]])
    head(torch.ones(1, 3), base, torch.eye(4)[:1], torch.ones(1))[0].backward()
    assert head.coefficients.grad is not None and not head.coefficients.grad[3].any()


def test_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted((*TRAINING_GRAPHS, CHECKPOINT, f"{CHECKPOINT}-64"))
    for name in TRAINING_GRAPHS:
        model = onnx.load(folder / name)
        assert model.ir_version <= 10 and clean.fault(model) is None
        assert {entry.domain for entry in model.opset_import} <= {"", "com.microsoft"}
    model = onnx.load(folder / TRAINING_GRAPHS[0])
    assert tuple(value.name for value in model.graph.input)[:4] == HEAD_INPUTS


@pytest.mark.parametrize(("checkpoint", "capacity"), [(CHECKPOINT, 100), (f"{CHECKPOINT}-64", 64)])
def test_steps_are_those_of_numpy(checkpoint: str, capacity: int, folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "training")
    shutil.copyfile(folder / checkpoint, copied / CHECKPOINT)
    steps = case(capacity)
    found = written.training_steps(copied, steps)
    assert found.coefficients.shape == (9, capacity)
    assert found.difference(written.numpy_steps(steps)) < 1e-6


@pytest.mark.parametrize("count", [1, 2, 16])
def test_number_of_pictures_is_free(count: int, folder: Path) -> None:
    steps = case(100, count)
    assert written.training_steps(folder, steps).difference(written.numpy_steps(steps)) < 1e-6


def test_capacity_below_the_small_checkpoint_has_none(tmp_path: Path) -> None:
    write_training(Head(3, 64), tmp_path)
    assert not (tmp_path / f"{CHECKPOINT}-64").exists()


def test_same_head_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_training(Head(9, 100), tmp_path)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_nothing_of_the_workstation(folder: Path) -> None:
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    for secret in (str(Path.cwd()), str(folder), "site-packages", "head_graph", "forward"):
        assert secret.encode() not in content


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_training(Head(3, 5), tmp_path)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_training_tools_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime.training", None)
    monkeypatch.delitem(sys.modules, "onnxruntime.training.artifacts", raising=False)
    with pytest.raises(RuntimeUnavailable, match=r"training tools cannot be imported.*hint: pip install 'onnx-edge-agent\[export\]'"):
        write_training(Head(3, 5), tmp_path)


def test_training_tools_that_refuse(tmp_path: Path) -> None:
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    with pytest.raises(RuntimeUnavailable, match="training tools refuse the head"):
        head_graph._generate(model, tmp_path)
