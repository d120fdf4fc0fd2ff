"""The trial of an artifact: everything in it that a runtime will ever be given is looked through, loaded and run once.

`trial_child.py` does this in a process that may crash, hang or run out of memory without harm to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.engines import HeadEngine, onnxruntime_training, portable
from edge_agent.engines.conformance import TOLERANCE, Oracle, a_batch
from edge_agent.errors import ArtifactError, InputError, RuntimeUnavailable
from edge_agent.image import ImageLimits, open_picture, to_tensor
from edge_agent.onnx_rules import check_graphs
from edge_agent.providers import CPU
from edge_agent.runtime import Backbone, Seen

HINT = "do not use this artifact: build it again, or ask those who made it"
_OUTPUTS = ("logits", "features", "context")
_LENGTH_TOLERANCE = 1e-2  # of a context of unit length; float16 has three digits
_IN_USE = -5e3  # base logits below belong to classes that are not in use


def try_artifact(artifact: Artifact, with_golden: bool = True) -> None:
    """Look through every graph, load it on the CPU, run the golden samples, and compare a step of the head with the formula.

    Args:
        artifact: opened.
        with_golden: whether the golden samples' logits must be those that the artifact states.

    Raises:
        ArtifactError: something in it is not as the format says, or the runtime refuses it.
        RuntimeUnavailable: no ONNX Runtime here.
    """
    check_graphs(artifact)
    _try_backbone(artifact, with_golden)
    for engine in _engines(artifact):
        _try_step(engine, artifact)


def _try_backbone(artifact: Artifact, with_golden: bool) -> None:
    backbone, manifest = Backbone.open(artifact, CPU, 1), artifact.manifest
    _check_names(backbone.session)
    worst = 0.0
    for place in range(manifest.golden.count):
        name = f"golden/{place:02}.png"
        try:
            picture = open_picture(artifact.read(name), ImageLimits(), name)
            seen = backbone.run(to_tensor(picture, manifest.image)[None])
        except InputError as error:
            raise ArtifactError(error.message, HINT) from None
        except RuntimeUnavailable as error:
            raise ArtifactError(f"backbone.onnx cannot be run on {name}: {error.message}", HINT) from None
        _check_seen(artifact, seen)
        worst = max(worst, float(np.abs(seen.logits[0] - artifact.statistics.golden_logits[place]).max()))
    if with_golden and not worst <= manifest.golden.tolerance:
        found = f"the golden samples' logits differ by {worst:.2g}, the artifact allows {manifest.golden.tolerance:.2g}"
        raise ArtifactError(found, "the artifact, or what this machine computes, is not sound: build it again, or try another ONNX Runtime")


def _check_names(session: Any) -> None:
    inputs, outputs = sorted(value.name for value in session.get_inputs()), sorted(value.name for value in session.get_outputs())
    if inputs != ["image"] or outputs != sorted(_OUTPUTS):
        found = f"backbone.onnx has the inputs {inputs[:5]} and the outputs {outputs[:5]}"
        raise ArtifactError(f"{found}, expected image and {', '.join(_OUTPUTS)}", HINT)


def _check_seen(artifact: Artifact, seen: Seen) -> None:
    manifest = artifact.manifest
    widths = (manifest.classes, manifest.features, manifest.directions)
    arrays: tuple[NDArray[Any], ...] = (seen.logits, seen.features, seen.context)
    for name, array, width in zip(_OUTPUTS, arrays, widths, strict=True):
        if array.shape != (1, width) or array.dtype != np.float32:
            found = f"backbone.onnx gives {name} as {array.dtype} {array.shape}"
            raise ArtifactError(f"{found}, the manifest says float32 {(1, width)}", HINT)
        if not np.isfinite(array).all():
            raise ArtifactError(f"backbone.onnx gives {name} with NaN or Inf for a golden sample", HINT)
    length = float(np.linalg.norm(seen.context))
    if abs(length - 1) > _LENGTH_TOLERANCE:
        raise ArtifactError(f"backbone.onnx gives a context of length {length:.3g}, expected 1", HINT)


def _engines(artifact: Artifact) -> Iterator[HeadEngine]:
    """Our own engines that work here; those of others get no bytes of the artifact's that were not hashed either."""
    yield portable.PortableEngine(artifact)
    if onnxruntime_training.available() and onnxruntime_training.in_artifact(artifact):
        yield onnxruntime_training.OnnxRuntimeTrainingEngine(artifact)


def _try_step(engine: HeadEngine, artifact: Artifact) -> None:
    """One step from zero, with room for few rows and for all; a checkpoint of each size is loaded by it."""
    names = [name for name in artifact.manifest.files if name.startswith(onnxruntime_training.CHECKPOINT)]
    sizes = {int(tail) for name in names if (tail := name.rpartition("-")[2]).isdecimal()} | {1, artifact.manifest.capacity}
    for rows in sorted(sizes):
        engine.reset(rows)
        batch, oracle = a_batch(artifact, min(rows, 3), engine.shape[1]), Oracle(artifact)
        oracle.reset(engine.shape[1])
        try:
            logits = engine.step(batch, 0.1)
        except Exception as error:  # the runtime's exceptions have no common class
            raise ArtifactError(f"the training graphs cannot take a step ({engine.name}): {error}", HINT) from None
        expected = oracle.step(batch, 0.1)
        for found, wanted in ((logits, expected), (engine.coefficients(), oracle.coefficients())):
            if found.shape != wanted.shape:
                raise ArtifactError(f"a step of the head ({engine.name}) gives shape {found.shape}, expected {wanted.shape}", HINT)
            used = np.abs(wanted) < -_IN_USE
            scale = float(np.abs(wanted[used]).max(initial=1e-30))
            worst = float(np.abs(found[used] - wanted[used]).max(initial=0)) / scale
            if not worst <= TOLERANCE:
                raise ArtifactError(f"a step of the head ({engine.name}) differs from the formula by {worst:.1e} of the greatest", HINT)
