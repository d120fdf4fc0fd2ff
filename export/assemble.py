"""The files of an artifact, in the order in which one needs the other, and the manifest that lists them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from edge_agent import __version__
from edge_agent.manifest import GoldenFacts, Manifest, ModelFacts, NewClass, ParityFacts, Producer, SentinelFacts, StatisticsFacts
from edge_agent.ort import import_onnxruntime
from export import card, cautions, clean, parity, statistics, weights, writer
from export.backbone_graph import write_backbone
from export.dataset import Progress, batches
from export.fit import Fitted
from export.head_graph import Head, write_training
from export.learned import LEARNING
from export.plan import BuildPlan, Prepared
from export.portable_step import write_step
from export.quantised_parity import compare_smaller
from export.sentinel import Golden, Sentinel, golden_samples, run_sentinel
from export.tail import with_tail
from export.written import WrittenBackbone

FloatArray = NDArray[np.float32]
CAPACITIES = ((500, 64), (50, 128), (0, 256))  # (more classes than, remembered corrections)


@dataclass(frozen=True)
class Layer:
    """The network's own last layer, where it is linear; not calibrated.

    Attributes:
        weight: `[C, D]`.
        bias: `[C]`.
    """

    weight: FloatArray
    bias: FloatArray


@dataclass(frozen=True)
class Results:
    """What the written backbone was found to do.

    Attributes:
        sentinel: on the sentinel pictures.
        golden: on the golden samples.
        exponents, leak: the leak table, `[29]` both.
        layer: the last layer, or None where it is not linear.
        scalars: of a new class, or None where the last layer is not linear.
    """

    sentinel: Sentinel
    golden: Golden
    exponents: FloatArray
    leak: FloatArray
    layer: Layer | None
    scalars: NewClass | None


def assemble(folder: Path, plan: BuildPlan, prepared: Prepared, fitted: Fitted, progress: Progress) -> Manifest:
    """Write every file of the artifact but the manifest.

    Args:
        folder: an empty directory.
        plan: what to build.
        prepared: the same, checked.
        fitted: what the pictures say.
        progress: told the stage and how far it is.

    Returns:
        The manifest.

    Raises:
        InputError: the network cannot be written as ONNX, or a picture vanished.
        ArtifactError: what was written does not agree with PyTorch.
        RuntimeUnavailable: ONNX Runtime's training tools are missing.
    """
    classes = len(prepared.labels)
    progress("backbone.onnx", 0, 1)
    if fitted.smaller is None:
        write_backbone(fitted.backbone, *prepared.spec.crop_px, folder / "backbone.onnx")
    else:
        clean.save(with_tail(fitted.smaller.model, fitted.backbone.temperature, fitted.context), folder / "backbone.onnx")
    progress("backbone.onnx", 1, 1)
    write_head(Head(classes + plan.spare_classes, capacity_for(classes)), folder, progress)
    results = _run(folder, plan, prepared, fitted, progress)
    _write_data(folder, prepared, fitted, results)
    progress("parity", 0, 1)
    facts = _compare(folder, plan, prepared, fitted)
    progress("parity", 1, 1)
    random = prepared.network.random and not cautions.all_learned(fitted.learned)
    warnings = (
        *cautions.of_labels(prepared.absent, classes),
        *cautions.of_pictures(fitted.split, fitted.measured, prepared.labels, fitted.unreadable),
        *cautions.of_corrections(prepared.home),
        *cautions.of_learning(fitted.learned, prepared.absent),
        *cautions.of_results(results.leak, results.sentinel.accuracy, classes, random),
    )
    return _with_card(folder, plan, prepared, fitted, results, _manifest(folder, plan, prepared, fitted, results, facts, warnings))


def capacity_for(classes: int) -> int:
    """Remembered corrections R: fewer where each costs a column of many classes."""
    return next(capacity for more_than, capacity in CAPACITIES if classes > more_than)


def write_head(head: Head, folder: Path, progress: Progress) -> None:
    """Write the graphs of the head, for both engines.

    Raises:
        RuntimeUnavailable: ONNX Runtime's training tools are missing.
    """
    progress("the head's graphs", 0, 2)
    write_training(head, folder / "training")
    progress("the head's graphs", 1, 2)
    write_step(head, folder / "portable/step.onnx")
    progress("the head's graphs", 2, 2)


def producer() -> Producer:
    """The versions that write the artifact."""
    torch_, vision, onnx = (metadata.version(name) for name in ("torch", "torchvision", "onnx"))
    return Producer(__version__, torch_, vision, onnx, str(import_onnxruntime().__version__))


def linear_layer(module: nn.Module, name: str, kind: str) -> Layer | None:
    """The last layer's numbers; None where it is not linear."""
    layer = module.get_submodule(name)
    if kind != "linear" or not isinstance(layer, nn.Linear):
        return None
    bias: torch.Tensor | None = layer.bias
    numbers = torch.zeros(layer.out_features) if bias is None else bias.detach()
    return Layer(layer.weight.detach().numpy().astype(np.float32), numbers.numpy().astype(np.float32))


def _run(folder: Path, plan: BuildPlan, prepared: Prepared, fitted: Fitted, progress: Progress) -> Results:
    session = WrittenBackbone(folder / "backbone.onnx")
    sentinel = run_sentinel(session, fitted.sentinel, prepared.spec, plan.limits, progress)
    unoptimised = WrittenBackbone(folder / "backbone.onnx", optimised=False) if fitted.smaller is not None else None
    golden = golden_samples(session, sentinel.pictures, prepared.spec, plan.limits, unoptimised)
    layer = linear_layer(prepared.network.module, fitted.opened.last_layer, fitted.opened.kind)
    scalars = None
    if layer is not None:
        divisor = np.float32(fitted.backbone.temperature)
        calibrated = Layer(layer.weight / divisor, layer.bias / divisor)
        scalars = statistics.new_class(
            calibrated.weight, calibrated.bias, fitted.features, fitted.measured.labels, sentinel.logits, sentinel.labels
        )
    return Results(sentinel, golden, *statistics.leak_table(sentinel.context), layer, scalars)


def _write_data(folder: Path, prepared: Prepared, fitted: Fitted, results: Results) -> None:
    """Write statistics, labels, golden samples and the last layer."""
    sentinel, mean_row = results.sentinel, np.zeros(fitted.features.shape[1])
    if results.layer is not None:
        mean_row = results.layer.weight.astype(np.float64).mean(axis=0) / fitted.backbone.temperature
        layer = {"weight": results.layer.weight, "bias": results.layer.bias}
        (folder / "last_layer.safetensors").write_bytes(save(layer))
    arrays = {
        "sentinel_context": sentinel.context.astype(np.float16),
        "sentinel_logits": sentinel.logits,
        "sentinel_features": half(sentinel.features),
        "sentinel_labels": sentinel.labels.astype(np.int32),
        "leak_exponents": results.exponents,
        "leak": results.leak,
        "feature_mean": fitted.features.astype(np.float64).mean(axis=0).astype(np.float32),
        "mean_row": mean_row.astype(np.float32),
        "golden_logits": results.golden.logits,
    }
    (folder / "statistics.safetensors").write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    (folder / "labels.txt").write_bytes("".join(f"{label}\n" for label in prepared.labels).encode())
    if fitted.learned is not None:
        (folder / LEARNING).write_bytes(fitted.learned.to_bytes())
    (folder / "golden").mkdir()
    for number, content in enumerate(results.golden.files):
        (folder / f"golden/{number:02d}.png").write_bytes(content)


def _with_card(folder: Path, plan: BuildPlan, prepared: Prepared, fitted: Fitted, results: Results, manifest: Manifest) -> Manifest:
    """Write the model card; returns the manifest that lists it."""
    labels, measured, sentinel = prepared.labels, fitted.measured, results.sentinel
    shown = np.bincount(measured.labels, minlength=len(labels))
    random = prepared.network.random and not cautions.all_learned(fitted.learned)
    known = card.Known(labels, shown, sentinel.logits, sentinel.labels, fitted.learned, random, plan.licence)
    content = card.card(manifest, known)
    (folder / card.CARD).write_bytes(content)
    return dataclasses.replace(manifest, files={**manifest.files, card.CARD: writer.entry(content)})


def half(array: FloatArray) -> NDArray[np.float16]:
    """The array in float16, clipped to its range: networks without normalisation reach beyond it."""
    greatest = float(np.finfo(np.float16).max)
    return np.clip(array, -greatest, greatest).astype(np.float16)


def _compare(folder: Path, plan: BuildPlan, prepared: Prepared, fitted: Fitted) -> ParityFacts:
    """Parity on pictures spread over the labels: sentinel pictures first, then statistics pictures."""
    step = max(1, len(fitted.sentinel) // parity.PICTURES)
    pictures = (*fitted.sentinel[::step], *fitted.measured.pictures)[: parity.PICTURES]
    found = list(batches(pictures, prepared.spec, plan.limits, parity.PICTURES))
    images = np.concatenate([tensor for _, tensor, _ in found])
    labels = np.array([picture.label for good, _, _ in found for picture in good], np.int64)
    head = parity.HeadShape(plan.spare_classes, capacity_for(len(prepared.labels)))
    if fitted.smaller is not None:
        return compare_smaller(prepared.network.module, fitted.smaller, fitted.backbone, folder, images, labels, head)
    return parity.compare(prepared.network.module, fitted.backbone, folder, images, labels, head)


def _manifest(
    folder: Path,
    plan: BuildPlan,
    prepared: Prepared,
    fitted: Fitted,
    results: Results,
    facts: ParityFacts,
    warnings: tuple[str, ...],
) -> Manifest:
    network, opened, sentinel = prepared.network, fitted.opened, results.sentinel
    return Manifest(
        model=ModelFacts(network.name, network.parameters, weights.state_digest(network.module), opened.last_layer, opened.kind),
        image=prepared.spec,
        classes=len(prepared.labels),
        spare_classes=plan.spare_classes,
        features=opened.features.channels,
        directions=int(fitted.backbone.matrix.shape[1]),
        capacity=capacity_for(len(prepared.labels)),
        temperature=fitted.backbone.temperature,
        taps=tuple(tap.name for tap in opened.taps),
        new_class=results.scalars,
        sentinel=SentinelFacts(len(sentinel.pictures), sentinel.accuracy, fitted.split.held_out),
        statistics=StatisticsFacts(len(fitted.measured.pictures), len(fitted.unreadable), warnings),
        golden=GoldenFacts(len(results.golden.files), results.golden.tolerance),
        parity=facts,
        producer=producer(),
        files=writer.entries(folder),
        quantization=fitted.smaller.facts if fitted.smaller is not None else None,
    )
