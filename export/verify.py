"""`edge-export verify`: an artifact opened, looked through and run, without torch and without the pictures it was made from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edge_agent.artifact import Artifact
from edge_agent.chained import FIRST, SECOND, backbone_files
from edge_agent.errors import ArtifactError
from edge_agent.image import ImageLimits
from edge_agent.manifest import Manifest
from edge_agent.onnx_rules import check_graph
from export import clean, statistics
from export.sentinel import golden_logits
from export.signatures import (
    BACKBONE_INPUT,
    BACKBONE_OUTPUTS,
    CHECKPOINT,
    HEAD_INPUTS,
    PARAMETER,
    STEP_INPUTS,
    STEP_OUTPUTS,
    TRAINING_GRAPHS,
)
from export.written import StepCase, Stepped, WrittenBackbone, numpy_steps, portable_steps, step_case, training_steps

STEP_TOLERANCE = 1e-5
LEAK_TOLERANCE = 1e-3  # the contexts are kept in float16
HINT = "build the artifact again"
FREE = 0  # a dimension without a fixed size
Shapes = dict[str, tuple[int, ...]]  # by name


@dataclass(frozen=True)
class Check:
    """One thing that was found to hold.

    Attributes:
        name: what was looked at.
        detail: what was found, in words.
        difference: the greatest difference found, or None where nothing was compared.
        tolerance: the greatest that is accepted.
    """

    name: str
    detail: str
    difference: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class VerifyReport:
    """An artifact that holds.

    Attributes:
        artifact: the opened artifact.
        checks: what was looked at.
    """

    artifact: Artifact
    checks: tuple[Check, ...]


def verify(path: Path) -> VerifyReport:
    """Open an artifact, look at every file, and run what can be run.

    Args:
        path: its directory.

    Returns:
        The report; getting one means that everything holds.

    Raises:
        ArtifactError: something does not; the message says what, by how much, and what was expected.
        RuntimeUnavailable: this ONNX Runtime cannot train.
    """
    artifact = Artifact.open(path)
    checks: Sequence[Callable[[Artifact], Check]] = (_files, _graphs, _golden, _statistics, _training, _portable)
    return VerifyReport(artifact, tuple(check(artifact) for check in checks))


def expected_shapes(manifest: Manifest, between: Shapes) -> dict[str, tuple[Shapes, Shapes]]:
    """Inputs and outputs of the graphs that a device runs, by file.

    Args:
        manifest: of the artifact.
        between: what the first of two backbone files gives the second; empty where there is one.
    """
    rows = manifest.classes + manifest.spare_classes
    head = dict(zip(HEAD_INPUTS, ((FREE, FREE), (FREE, rows), (FREE, rows), (FREE,)), strict=True))
    step = {**head, "learning_rate": (), PARAMETER: (rows, FREE)}
    widths = (manifest.classes, manifest.features, manifest.directions)
    image: Shapes = {BACKBONE_INPUT: (FREE, 3, *manifest.image.crop_px)}
    outputs: Shapes = {name: (FREE, width) for name, width in zip(BACKBONE_OUTPUTS, widths, strict=True)}
    return {
        FIRST: (image, between or outputs),
        SECOND: (between, outputs),
        "portable/step.onnx": (
            {name: step[name] for name in STEP_INPUTS},
            dict(zip(STEP_OUTPUTS, ((), (rows, FREE), (FREE, rows)), strict=True)),
        ),
    }


def _files(artifact: Artifact) -> Check:
    entries = artifact.manifest.files
    size = sum(entry.bytes for entry in entries.values())
    return Check("files", f"{len(entries)} files, {size / 1e6:.2f} MB, as the manifest says")


def _graphs(artifact: Artifact) -> Check:
    names, between = sorted(name for name in artifact.manifest.files if name.endswith(".onnx")), Shapes()
    for name in names:
        content = artifact.read(name)
        model = onnx.load_from_string(content)
        fault = clean.fault(model)
        if fault is not None:
            raise ArtifactError(f"{name} {fault}", HINT)
        if name == SECOND:  # it is read before the first
            between = _shapes(model.graph.input)
        shapes = expected_shapes(artifact.manifest, between)
        if name in shapes:
            _check_standard(name, model)
            _check_shapes(name, "inputs", model.graph.input, shapes[name][0])
            _check_shapes(name, "outputs", model.graph.output, shapes[name][1])
        check_graph(name, content)
    return Check("graphs", f"{len(names)} graphs: IR version ≤ {clean.IR_VERSION}, no external data, shapes as the manifest says")


def _check_standard(name: str, model: onnx.ModelProto) -> None:
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in ("", "ai.onnx")})
    newer = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx") and entry.version > clean.OPSET]
    if foreign or newer:
        found = f"the operator {foreign[0]}" if foreign else f"opset {newer[0]}"
        raise ArtifactError(f"{name} uses {found}, expected standard operators of opset {clean.OPSET} or lower", HINT)


def _check_shapes(name: str, side: str, values: Sequence[onnx.ValueInfoProto], expected: dict[str, tuple[int, ...]]) -> None:
    found = _shapes(values)
    if found != expected:
        raise ArtifactError(f"{name} has the {side} {found}, the manifest says {expected} (0: free)", HINT)


def _shapes(values: Sequence[onnx.ValueInfoProto]) -> Shapes:
    return {v.name: tuple(d.dim_value if d.HasField("dim_value") else FREE for d in v.type.tensor_type.shape.dim) for v in values}


def _golden(artifact: Artifact) -> Check:
    manifest = artifact.manifest
    files = [artifact.read(f"golden/{number:02d}.png") for number in range(manifest.golden.count)]
    session = WrittenBackbone([artifact.read(name) for name in backbone_files(manifest.files)])
    found = golden_logits(session, files, manifest.image, ImageLimits())
    difference = float(np.abs(found - artifact.statistics.golden_logits).max())
    detail = f"{len(files)} pictures give the logits that they should"
    return _within(Check("golden samples", detail, difference, manifest.golden.tolerance))


def _statistics(artifact: Artifact) -> Check:
    kept, facts = artifact.statistics, artifact.manifest.sentinel
    accuracy = float((kept.sentinel_logits.argmax(axis=1) == kept.sentinel_labels).mean())
    if abs(accuracy - facts.accuracy) > 1e-9:
        raise ArtifactError(f"the sentinel's accuracy is {accuracy:.4f}, the manifest says {facts.accuracy:.4f}", HINT)
    lengths = np.linalg.norm(kept.sentinel_context, axis=1)
    if np.abs(lengths - 1).max() > LEAK_TOLERANCE:
        raise ArtifactError(f"a sentinel context has the length {lengths[np.abs(lengths - 1).argmax()]:.3f}, expected 1", HINT)
    difference = float(np.abs(statistics.leak_table(kept.sentinel_context)[1] - kept.leak).max())
    return _within(Check("statistics", f"sentinel of {facts.size}, accuracy {accuracy:.1%}; leak table", difference, LEAK_TOLERANCE))


def _training(artifact: Artifact) -> Check:
    names = sorted(name for name in artifact.manifest.files if name.startswith(f"training/{CHECKPOINT}"))
    checks = [_training_from(artifact, name) for name in names]
    return max(checks, key=lambda check: check.difference or 0.0)


def _training_from(artifact: Artifact, checkpoint: str) -> Check:
    """One checkpoint: `checkpoint` has room for the capacity, `checkpoint-64` for 64 rows."""
    _, _, rows = checkpoint.partition("-")
    case = _case(artifact, int(rows) if rows.isdecimal() else artifact.manifest.capacity)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, CHECKPOINT).write_bytes(artifact.read(checkpoint))
        for name in TRAINING_GRAPHS:
            Path(folder, name).write_bytes(artifact.read(f"training/{name}"))
        found = training_steps(Path(folder), case)
    return _compared(checkpoint, found, case)


def _portable(artifact: Artifact) -> Check:
    case = _case(artifact, artifact.manifest.capacity)
    return _compared("portable/step.onnx", portable_steps(artifact.read("portable/step.onnx"), case), case)


def _case(artifact: Artifact, capacity: int) -> StepCase:
    kept, spare = artifact.statistics, artifact.manifest.spare_classes
    return step_case(kept.sentinel_context, kept.sentinel_logits, kept.sentinel_labels.astype(np.int64), spare, capacity)


def _compared(name: str, found: Stepped, case: StepCase) -> Check:
    difference = found.difference(numpy_steps(case))
    return _within(Check(name, f"{case.steps} gradient steps as in numpy", difference, STEP_TOLERANCE))


def _within(check: Check) -> Check:
    if check.difference is not None and check.tolerance is not None and not check.difference <= check.tolerance:
        found = f"differs by {check.difference:.2g}, at most {check.tolerance:.2g} is accepted"
        raise ArtifactError(f"{check.name}: {found} ({check.detail})", "the artifact does not behave as it did when it was built")
    return check
