"""Pictures through the network, after it has learned what it was to learn: everything that the graphs and the statistics are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_agent.errors import InputError
from export import dataset, lessons, statistics
from export.backbone_graph import Backbone
from export.dataset import Picture, Progress, Split, Unreadable
from export.learned import Learned
from export.measure import FloatArray, Measured, measure
from export.plan import BuildPlan, Prepared
from export.smaller import Smaller, compare, make_smaller, tapped_onnx
from export.tapped import Tapped
from export.taps import Cut, cut


@dataclass(frozen=True)
class Fitted:
    """What the pictures say about the network.

    Attributes:
        opened: where the network was cut.
        backbone: the network with temperature and context.
        split: which pictures serve as what.
        measured: the statistics pictures, before calibration.
        sentinel: the sentinel pictures that can be decoded.
        unreadable: pictures that cannot be read.
        smaller: the network that was measured where it was quantised, or None.
        learned: what was trained before, or None.
    """

    opened: Cut
    backbone: Backbone
    split: Split
    measured: Measured
    sentinel: tuple[Picture, ...]
    unreadable: tuple[Unreadable, ...]
    smaller: Smaller | None = None
    learned: Learned | None = None

    @property
    def context(self) -> statistics.ContextMap:
        """Mean and matrix of the context."""
        return statistics.ContextMap(self.backbone.mean.numpy(), self.backbone.matrix.numpy())

    @property
    def features(self) -> FloatArray:
        """What enters the last layer on the statistics pictures, `[n, D]`."""
        return self.measured.raw[:, : self.opened.features.channels]


def fit(plan: BuildPlan, prepared: Prepared, progress: Progress) -> Fitted:
    """Cut the network, train what is not frozen, run the pictures through it, and fit temperature and context.

    Args:
        plan: what to build.
        prepared: the same, checked.
        progress: told the stage and how far it is.

    Returns:
        What was fitted.

    Raises:
        InputError: the network cannot be cut, trained, quantised, or gives NaN, or no pictures of two labels can be read.
        ArtifactError: quantising costs more accuracy than the plan accepts.
    """
    opened = cut(prepared.network.module, *prepared.spec.crop_px)
    network = Tapped(opened).eval()
    in_float = tapped_onnx(network, prepared, plan.quantize) if plan.quantize else None
    split = dataset.split(prepared.folders, prepared.labels, plan.limit, progress, prepared.home.paths if prepared.home else frozenset())
    learned = None
    if prepared.policy is not None:
        learned = lessons.learn(
            prepared.network, prepared.policy, split, prepared.spec, plan.limits, plan.recipe, plan.seed, progress
        )
        in_float = tapped_onnx(network, prepared, plan.quantize) if plan.quantize else None  # the first was a check: this one has learned
    smaller = make_smaller(in_float, plan, prepared, split.statistics, progress) if in_float is not None else None
    seen = smaller or network
    held = measure(seen, split.sentinel, prepared.spec, plan.limits, "sentinel", progress)
    measured = measure(seen, split.statistics, prepared.spec, plan.limits, "statistics", progress)
    if len(np.unique(measured.labels)) < 2:
        raise InputError("only pictures of one label can be read", "look at the files of --data")
    if smaller is not None:
        smaller = smaller.judged(compare(plan, prepared, network, held, measured, progress))
    temperature = statistics.temperature(held.logits, held.labels)
    progress("context map", 0, 1)
    backbone = Backbone(network, temperature, statistics.context_map(measured.raw)).eval()
    progress("context map", 1, 1)
    unreadable = dict.fromkeys((*split.unreadable, *held.unreadable, *measured.unreadable))
    return Fitted(opened, backbone, split, measured, held.pictures, tuple(unreadable), smaller, learned)
