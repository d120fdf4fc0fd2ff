from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest

from export import signatures

FORMAT = Path(__file__).parents[2] / "artifacts/README.md"


@pytest.mark.parametrize(
    "names",
    [
        (signatures.BACKBONE_INPUT, *signatures.BACKBONE_OUTPUTS),
        signatures.HEAD_INPUTS,
        signatures.HEAD_OUTPUTS,
        signatures.STEP_INPUTS,
        signatures.STEP_OUTPUTS,
        tuple(f"training/{name}" for name in (*signatures.TRAINING_GRAPHS, signatures.CHECKPOINT)),
    ],
    ids=lambda names: names[0],
)
def test_names_are_those_of_the_format(names: tuple[str, ...]) -> None:
    prose = re.sub(r"^```.*?^```", "", FORMAT.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    documented = set(re.findall(r"`([^`]+)`", prose))
    assert set(names) <= documented


def test_names_are_those_of_the_files(built: Path) -> None:
    def ends(name: str) -> tuple[list[str], list[str]]:
        graph = onnx.load(built / name).graph
        return [value.name for value in graph.input], [value.name for value in graph.output]

    assert ends("backbone.onnx") == ([signatures.BACKBONE_INPUT], list(signatures.BACKBONE_OUTPUTS))
    assert ends("portable/step.onnx") == (list(signatures.STEP_INPUTS), list(signatures.STEP_OUTPUTS))
    inputs, outputs = ends("training/training_model.onnx")
    assert tuple(inputs[:5]) == (*signatures.HEAD_INPUTS, signatures.PARAMETER)
    assert tuple(outputs[:2]) == signatures.HEAD_OUTPUTS
    inputs, outputs = ends(f"training/{signatures.EVALUATION_GRAPH}")
    assert inputs == [*signatures.HEAD_INPUTS[:2], signatures.PARAMETER] and outputs == [signatures.HEAD_OUTPUTS[1]]
