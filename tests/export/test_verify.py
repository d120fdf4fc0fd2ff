from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

from edge_agent.errors import ArtifactError
from edge_agent.manifest import Manifest
from export.verify import Check, VerifyReport, _within, verify

Reseal = Callable[[Path], None]
DEFAULT = Path(__file__).parents[2] / "artifacts/default"


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "artifact")


def edit(path: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


def refused(folder: Path, found: str) -> None:
    with pytest.raises(ArtifactError, match=found) as caught:
        verify(folder)
    assert caught.value.exit_code == 66 and "\n" not in str(caught.value) and caught.value.hint


def test_sound_artifact(built: Path) -> None:
    report = verify(built)
    assert isinstance(report, VerifyReport) and report.artifact.path == built
    assert [check.name for check in report.checks] == [
        "files", "graphs", "golden samples", "statistics", "training/checkpoint", "portable/step.onnx",
    ]  # fmt: skip
    for check in report.checks[2:]:
        assert check.difference is not None and check.tolerance is not None and check.difference <= check.tolerance


def test_nothing_is_changed(built: Path) -> None:
    before = {path: path.read_bytes() for path in built.rglob("*") if path.is_file()}
    verify(built)
    assert {path: path.read_bytes() for path in built.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["backbone.onnx", "labels.txt", "golden/03.png", "training/checkpoint-64", "statistics.safetensors"])
def test_one_bit(name: str, copied: Path) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    refused(copied, f"{name} was changed")


def test_missing_and_foreign(tmp_path: Path, copied: Path) -> None:
    refused(tmp_path / "nothing", "no artifact at")
    (copied / "backbone.onnx").unlink()
    refused(copied, r"backbone.onnx cannot be read")


def test_other_network(copied: Path, reseal: Reseal) -> None:
    def louder(model: onnx.ModelProto) -> None:
        weight = next(t for t in model.graph.initializer if t.name.endswith("head.3.weight"))
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.5, weight.name))

    edit(copied / "backbone.onnx", louder)
    reseal(copied)
    refused(copied, r"golden samples: differs by .*, at most .* is accepted")


def set_version(model: onnx.ModelProto) -> None:
    model.ir_version = 11


def set_external(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def set_metadata(model: onnx.ModelProto) -> None:
    model.graph.node[0].doc_string = "/home/alice/train.py"


def set_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"


def set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 21


def set_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5


def set_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (set_version, "backbone.onnx has IR version 11, expected at most 10"),
        (set_external, "backbone.onnx keeps tensors outside of the file"),
        (set_metadata, "backbone.onnx carries metadata"),
        (set_operator, r"backbone.onnx uses the operator com.example.\w+, expected standard operators"),
        (set_opset, "backbone.onnx uses opset 21"),
        (set_output, r"backbone.onnx has the outputs .*\(0, 5\).*the manifest says .*\(0, 4\)"),
        (set_input, "backbone.onnx has the inputs .*extra"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_graphs_that_a_device_must_not_meet(change: Callable[[onnx.ModelProto], None], found: str, copied: Path, reseal: Reseal) -> None:
    edit(copied / "backbone.onnx", change)
    reseal(copied)
    refused(copied, found)


def statistics(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    arrays = load_file(folder / "statistics.safetensors")
    change(arrays)
    save_file(arrays, folder / "statistics.safetensors")


def test_sentinel_of_another_artifact(copied: Path, reseal: Reseal) -> None:
    statistics(copied, lambda arrays: arrays.update(sentinel_labels=arrays["sentinel_logits"].argmax(axis=1).astype(np.int32)))
    reseal(copied)
    refused(copied, r"the sentinel's accuracy is 1\.0000, the manifest says 0\.\d+")


def test_context_that_is_not_of_unit_length(copied: Path, reseal: Reseal) -> None:
    statistics(copied, lambda arrays: arrays.update(sentinel_context=arrays["sentinel_context"] * np.float16(0.9)))
    reseal(copied)
    refused(copied, r"a sentinel context has the length 0\.9")


def test_leak_table_that_lies(copied: Path, reseal: Reseal) -> None:
    statistics(copied, lambda arrays: arrays.update(leak=arrays["leak"] * np.float32(0.1)))
    reseal(copied)
    refused(copied, "statistics: differs by")


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint-64"])
def test_checkpoint_that_does_not_begin_at_zero(name: str, copied: Path, reseal: Reseal) -> None:
    from onnxruntime.capi._pybind_state import save_checkpoint

    rows = 256 if name == "checkpoint" else 64
    ones = numpy_helper.from_array(np.ones((7, rows), np.float32), "coefficients")
    save_checkpoint([ones.SerializeToString()], [], str(copied / "training" / name), False)
    reseal(copied)
    refused(copied, f"training/{name}: differs by")


def test_checkpoint_of_another_shape(copied: Path, reseal: Reseal) -> None:
    from onnxruntime.capi._pybind_state import save_checkpoint

    zeros = numpy_helper.from_array(np.zeros((7, 32), np.float32), "coefficients")
    save_checkpoint([zeros.SerializeToString()], [], str(copied / "training/checkpoint"), False)
    reseal(copied)
    refused(copied, r"training/checkpoint: differs by inf|refuses the training files")


def test_portable_step_that_steps_twice_as_far(copied: Path, reseal: Reseal) -> None:
    def further(model: onnx.ModelProto) -> None:
        step = next(node for node in model.graph.node if "learning_rate" in node.input)
        rate = list(step.input).index("learning_rate")
        step.input[rate] = "doubled"
        model.graph.node.insert(0, helper.make_node("Add", ["learning_rate", "learning_rate"], ["doubled"]))

    edit(copied / "portable/step.onnx", further)
    reseal(copied)
    refused(copied, r"portable/step.onnx: differs by")


def test_manifest_of_another_size(copied: Path) -> None:
    path = copied / "manifest.json"
    manifest = Manifest.from_bytes(path.read_bytes())
    path.write_bytes(dataclasses.replace(manifest, capacity=128).to_bytes())
    refused(copied, r"training/checkpoint: differs by inf|refuses the training files")


def test_older_artifact_without_what_may_be_missing(copied: Path, reseal: Reseal) -> None:
    for name in ("training/checkpoint-64", "last_layer.safetensors"):
        (copied / name).unlink()
    reseal(copied)
    assert len(verify(copied).checks) == 6


def test_difference_that_is_no_number_is_refused() -> None:
    with pytest.raises(ArtifactError, match="differs by nan"):
        _within(Check("thing", "detail", float("nan"), 1.0))
    assert _within(Check("thing", "detail")) == Check("thing", "detail")


@pytest.mark.skipif(not (DEFAULT / "manifest.json").is_file(), reason="artifacts/default is not built")
def test_committed_artifact() -> None:
    report = verify(DEFAULT)
    assert report.artifact.manifest.model.name == "mobilenet_v3_small"
    assert sum(entry.bytes for entry in report.artifact.manifest.files.values()) <= 10_000_000
