"""What the export writes, in the hands of the device program: the two halves meet in the artifact and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export_samples import COLOURS, LABELS, SPEC, Sample, picture

from edge_agent import EdgeAgent
from edge_agent.artifact import Artifact
from edge_agent.image import ImageLimits, open_picture, to_tensor

ENGINES = ("onnxruntime-training", "portable")


@pytest.fixture(params=ENGINES)
def agent(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> EdgeAgent:
    return EdgeAgent.open(built, state=tmp_path / "state", engine=request.param)


def test_device_sees_what_pytorch_sees(agent: EdgeAgent, sample: Sample) -> None:
    import torch

    image = picture(COLOURS["red"], 4711)
    seen = agent.predict(image)
    with torch.no_grad():
        tensor = torch.from_numpy(to_tensor(open_picture(image, ImageLimits()), SPEC))[None]
        expected = (sample[1].network.module(tensor) / sample[2].backbone.temperature).softmax(1)[0]
    assert seen.label == LABELS[int(expected.argmax())]
    assert seen.probability == pytest.approx(float(expected.max()), abs=1e-5)


def test_a_mistake_is_corrected_and_taken_back(agent: EdgeAgent) -> None:
    image = picture(COLOURS["green"], 99)
    before = agent.predict(image)
    right = next(label for label in LABELS if label != before.label)
    done = agent.correct(before, right, force=True)
    assert agent.predict(image).label == right
    assert done.id is not None
    agent.undo(done.id)
    after = agent.predict(image)
    assert (after.label, after.probability) == (before.label, before.probability)


def test_golden_samples_hold_on_the_device(built: Path, tmp_path: Path) -> None:
    artifact, agent = Artifact.open(built), EdgeAgent.open(built, state=tmp_path / "state")
    for number, logits in enumerate(artifact.statistics.golden_logits):
        seen = agent.predict(artifact.read(f"golden/{number:02d}.png"))
        shifted = np.exp(logits - logits.max())
        assert seen.label == artifact.labels[int(logits.argmax())]
        assert seen.probability == pytest.approx(float(shifted.max() / shifted.sum()), abs=1e-5)
