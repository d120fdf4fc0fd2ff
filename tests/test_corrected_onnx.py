"""The corrected network as one file: any ONNX Runtime answers with it as the agent does."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS, in_fresh_process

from edge_agent import corrected_onnx
from edge_agent.agent import EdgeAgent
from edge_agent.corrected_onnx import corrected_model
from edge_agent.errors import InputError, RuntimeUnavailable
from edge_agent.image import ImageLimits, open_picture, to_tensor

pytestmark = pytest.mark.usefixtures("shared_backbone")


def images(agent: EdgeAgent) -> np.ndarray:
    """The field photos as the network's input."""
    return np.stack([to_tensor(open_picture(photo, ImageLimits()), agent.artifact.manifest.image) for photo in PHOTOS])


def answers(model: bytes | Path, pictures: np.ndarray) -> np.ndarray:
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["logits"], {"image": pictures})[0]
    return found


def nothing(agent: EdgeAgent) -> None:
    """The factory's head."""


def corrections(agent: EdgeAgent) -> None:
    for photo, truth in zip(PHOTOS, TRUTHS, strict=True):
        agent.correct(photo, truth)


def new_class(agent: EdgeAgent) -> None:
    agent.correct(PHOTOS[0], "newt", new_label=True)
    agent.add_label("without a shot")
    agent.correct(PHOTOS[1], TRUTHS[1])


def new_class_without_a_shot(agent: EdgeAgent) -> None:
    agent.add_label("without a shot")


@pytest.mark.parametrize("teach", [nothing, corrections, new_class, new_class_without_a_shot], ids=lambda teach: teach.__name__)
def test_it_answers_as_the_agent_does(teach, agent: EdgeAgent, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    teach(agent)
    pictures, target = images(agent), tmp_path / "corrected.onnx"
    assert agent.export_onnx(target) <= 1e-4
    found = answers(target, pictures)
    expected = agent.head.logits(agent.run_backbone(pictures))
    assert found.shape == (12, len(agent.labels))
    assert np.abs(found - expected).max() <= 1e-4 * max(1.0, np.abs(expected[expected > -1e3]).max())
    assert [agent.labels[place] for place in found.argmax(1)] == [agent.predict(photo).label for photo in PHOTOS]
    assert np.abs(answers(target, pictures[:1]) - found[:1]).max() <= 1e-3, "the number of pictures is free"


def test_file_is_a_sound_model(agent: EdgeAgent, tmp_path: Path) -> None:
    try:
        onnx = importlib.import_module("onnx")
    except ImportError:
        pytest.skip("the package onnx is not installed here")
    new_class(agent)
    agent.export_onnx(tmp_path / "corrected.onnx")
    model = onnx.load(tmp_path / "corrected.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx"}
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert np.array_equal(stored["head/contexts"], agent.head.contexts.T)
    assert np.array_equal(stored["head/coefficients"], agent.head.coefficients)
    assert np.array_equal(stored["head/added_bias"], agent.head.added.bias)


def test_same_head_gives_the_same_bytes(agent: EdgeAgent, tmp_path: Path) -> None:
    corrections(agent)
    agent.export_onnx(tmp_path / "one.onnx")
    agent.export_onnx(tmp_path / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    agent.undo()
    agent.export_onnx(tmp_path / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() != (tmp_path / "two.onnx").read_bytes()


def test_undo_brings_the_file_back(agent: EdgeAgent) -> None:
    network = agent.artifact.read("backbone.onnx")
    before = corrected_model(network, agent.head)
    agent.correct(PHOTOS[0], TRUTHS[0])
    assert corrected_model(network, agent.head) != before
    agent.undo()
    assert corrected_model(network, agent.head) == before


def test_another_process_needs_only_a_runtime(agent: EdgeAgent, tmp_path: Path) -> None:
    agent.correct(PHOTOS[0], TRUTHS[0])
    agent.export_onnx(tmp_path / "corrected.onnx")
    np.save(tmp_path / "images.npy", images(agent))
    code = """
import sys
import numpy
from edge_agent.ort import import_onnxruntime
session = import_onnxruntime().InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print(session.run(None, {"image": numpy.load(sys.argv[2])[:1]})[0].argmax(), "onnx" in sys.modules)
"""
    place, has_onnx = in_fresh_process(code, str(tmp_path / "corrected.onnx"), str(tmp_path / "images.npy")).split()
    assert agent.labels[int(place)] == TRUTHS[0]
    assert has_onnx == "False"


class TestRefusals:
    def test_folder_that_is_not_there(self, agent: EdgeAgent, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be written: No such file or directory"):
            agent.export_onnx(tmp_path / "no" / "corrected.onnx")

    def test_target_that_is_a_folder(self, agent: EdgeAgent, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(InputError, match="cannot be written"):
            agent.export_onnx(tmp_path / "folder")
        assert not list(tmp_path.glob(".folder*")), "no half file is left"

    def test_file_that_answers_otherwise_does_not_appear(self, agent: EdgeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        agent.correct(PHOTOS[0], TRUTHS[0])
        target = tmp_path / "corrected.onnx"
        target.write_bytes(b"the last one")
        monkeypatch.setattr(corrected_onnx, "TOLERANCE", -1.0)
        with pytest.raises(RuntimeUnavailable, match="does not answer as the agent"):
            agent.export_onnx(target)
        monkeypatch.setattr(corrected_onnx, "corrected_model", lambda *_: b"nonsense")
        with pytest.raises(RuntimeUnavailable, match="ONNX Runtime refuses the corrected network"):
            agent.export_onnx(target)
        assert target.read_bytes() == b"the last one"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["corrected.onnx", "home", "state"]

    def test_existing_file_is_replaced_as_a_whole(self, agent: EdgeAgent, tmp_path: Path) -> None:
        target = tmp_path / "corrected.onnx"
        target.write_bytes(b"the last one" * 1_000_000)
        agent.export_onnx(str(target))
        assert target.stat().st_size < 8_000_000
        assert target.stat().st_mode & 0o777 == 0o644
        assert answers(target, images(agent)).shape == (12, 10)


def test_artifact_itself_is_not_touched(agent: EdgeAgent, tmp_path: Path) -> None:
    before = (ARTIFACT / "backbone.onnx").read_bytes()
    agent.export_onnx(tmp_path / "corrected.onnx")
    assert (ARTIFACT / "backbone.onnx").read_bytes() == before
