"""The files of an artifact, in the order in which one needs the other, and the manifest that lists them."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from edge_agent import __version__
from edge_agent.manifest import GoldenFacts, Manifest, ModelFacts, NewClass, ParityFacts, Producer, SentinelFacts, StatisticsFacts
from export import cautions, statistics, weights, writer
from export.backbone_graph import write_backbone
from export.dataset import Progress, batches
from export.fit import Fitted
from export.head_graph import Head, write_training
from export.parity import PICTURES, compare
from export.plan import BuildPlan, Prepared
from export.portable_step import write_step
from export.sentinel import Golden, Sentinel, golden_samples, run_sentinel
from export.written import WrittenBackbone

FloatArray = NDArray[np.float32]
CAPACITIES = ((500, 64), (50, 128), (0, 256))  # (more classes than, remembered corrections)


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
    capacity = capacity_for(len(prepared.labels))
    _write_graphs(folder, plan, prepared, fitted, capacity, progress)
    session = WrittenBackbone(folder / "backbone.onnx")
    sentinel = run_sentinel(session, fitted.sentinel, prepared.spec, plan.limits, progress)
    golden = golden_samples(session, sentinel.pictures, prepared.spec, plan.limits)
    layer = linear_layer(prepared.network.module, fitted)
    exponents, leak = statistics.leak_table(sentinel.context)
    _write_statistics(folder, prepared, fitted, sentinel, golden, layer, (exponents, leak))
    progress("parity", 0, 1)
    facts = _compare(folder, plan, prepared, fitted, capacity)
    progress("parity", 1, 1)
    warnings = (
        *cautions.of_labels(prepared.absent, len(prepared.labels)),
        *cautions.of_pictures(fitted.split, fitted.measured, prepared.labels, fitted.unreadable),
        *cautions.of_results(leak, sentinel.accuracy, len(prepared.labels), prepared.network.weights.state is None),
    )
    return _manifest(folder, plan, prepared, fitted, (sentinel, golden, facts, warnings, new_class(layer, fitted, sentinel)))


def capacity_for(classes: int) -> int:
    """Remembered corrections R: fewer where each costs a column of many classes."""
    return next(capacity for more_than, capacity in CAPACITIES if classes > more_than)


def linear_layer(module: nn.Module, fitted: Fitted) -> tuple[FloatArray, FloatArray] | None:
    """Weight `[C, D]` and bias `[C]` of the last layer, not calibrated; None where it is not linear."""
    if fitted.opened.kind != "linear":
        return None
    layer = module.get_submodule(fitted.opened.last_layer)
    if not isinstance(layer, nn.Linear):
        return None
    bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias
    return layer.weight.detach().numpy().astype(np.float32), bias.detach().numpy().astype(np.float32)


def new_class(layer: tuple[FloatArray, FloatArray] | None, fitted: Fitted, sentinel: Sentinel) -> NewClass | None:
    """The scalars of LEARNING.md §5, calibrated; None where the last layer is not linear."""
    if layer is None:
        return None
    weight, bias = (array / np.float32(fitted.backbone.temperature) for array in layer)
    features = fitted.measured.raw[:, : fitted.opened.features.channels]
    return statistics.new_class(weight, bias, features, fitted.measured.labels, sentinel.logits, sentinel.labels)


def _write_graphs(folder: Path, plan: BuildPlan, prepared: Prepared, fitted: Fitted, capacity: int, progress: Progress) -> None:
    progress("backbone.onnx", 0, 1)
    write_backbone(fitted.backbone, *prepared.spec.crop_px, folder / "backbone.onnx")
    progress("backbone.onnx", 1, 1)
    progress("the head's graphs", 0, 2)
    head = Head(len(prepared.labels) + plan.spare_classes, capacity)
    write_training(head, folder / "training")
    progress("the head's graphs", 1, 2)
    write_step(head, folder / "portable/step.onnx")
    progress("the head's graphs", 2, 2)


def _write_statistics(
    folder: Path,
    prepared: Prepared,
    fitted: Fitted,
    sentinel: Sentinel,
    golden: Golden,
    layer: tuple[FloatArray, FloatArray] | None,
    leak: tuple[FloatArray, FloatArray],
) -> None:
    features = fitted.measured.raw[:, : fitted.opened.features.channels]
    mean_row = np.zeros(features.shape[1], np.float32)
    if layer is not None:
        mean_row = (layer[0].astype(np.float64).mean(axis=0) / fitted.backbone.temperature).astype(np.float32)
        (folder / "last_layer.safetensors").write_bytes(save({"weight": layer[0], "bias": layer[1]}))
    arrays = {
        "sentinel_context": sentinel.context.astype(np.float16),
        "sentinel_logits": sentinel.logits,
        "sentinel_features": _half(sentinel.features),
        "sentinel_labels": sentinel.labels.astype(np.int32),
        "leak_exponents": leak[0],
        "leak": leak[1],
        "feature_mean": features.astype(np.float64).mean(axis=0).astype(np.float32),
        "mean_row": mean_row,
        "golden_logits": golden.logits,
    }
    (folder / "statistics.safetensors").write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    (folder / "labels.txt").write_bytes("".join(f"{label}\n" for label in prepared.labels).encode())
    (folder / "golden").mkdir()
    for number, content in enumerate(golden.files):
        (folder / f"golden/{number:02d}.png").write_bytes(content)


def _half(array: FloatArray) -> NDArray[np.float16]:
    """float16, clipped to its range: random or unnormalised networks reach beyond it."""
    greatest = float(np.finfo(np.float16).max)
    return np.clip(array, -greatest, greatest).astype(np.float16)


def _compare(folder: Path, plan: BuildPlan, prepared: Prepared, fitted: Fitted, capacity: int) -> ParityFacts:
    pictures = (*fitted.sentinel, *fitted.measured.pictures)[:: max(1, len(fitted.sentinel) // PICTURES)][:PICTURES]
    found = list(batches(pictures, prepared.spec, plan.limits, PICTURES))
    images = np.concatenate([tensor for _, tensor, _ in found])
    labels = np.array([picture.label for good, _, _ in found for picture in good], np.int64)
    return compare(prepared.network.module, fitted.backbone, folder, images, labels, plan.spare_classes, capacity)


def _manifest(
    folder: Path,
    plan: BuildPlan,
    prepared: Prepared,
    fitted: Fitted,
    results: tuple[Sentinel, Golden, ParityFacts, tuple[str, ...], NewClass | None],
) -> Manifest:
    sentinel, golden, facts, warnings, scalars = results
    network, opened = prepared.network, fitted.opened
    return Manifest(
        model=ModelFacts(network.name, network.parameters, weights.state_digest(network.module), opened.last_layer, opened.kind),
        image=prepared.spec,
        classes=len(prepared.labels),
        spare_classes=plan.spare_classes,
        features=opened.features.channels,
        directions=fitted.backbone.matrix.shape[1],
        capacity=capacity_for(len(prepared.labels)),
        temperature=fitted.backbone.temperature,
        taps=tuple(tap.name for tap in opened.taps),
        new_class=scalars,
        sentinel=SentinelFacts(len(sentinel.pictures), sentinel.accuracy, fitted.split.held_out),
        statistics=StatisticsFacts(len(fitted.measured.pictures), len(fitted.unreadable), warnings),
        golden=GoldenFacts(len(golden.files), golden.tolerance),
        parity=facts,
        producer=producer(),
        files=writer.entries(folder),
    )


def producer() -> Producer:
    """The versions that write the artifact."""
    versions = {name: metadata.version(name) for name in ("torch", "torchvision", "onnx")}
    from edge_agent.ort import import_onnxruntime

    return Producer(__version__, versions["torch"], versions["torchvision"], versions["onnx"], str(import_onnxruntime().__version__))
