"""Whether the head in use is what the corrections give when they are solved again."""

from __future__ import annotations

import numpy as np

from edge_agent.artifact import Artifact
from edge_agent.blas import Blas
from edge_agent.keeper import HeadKeeper, Serving
from edge_agent.runtime import Seen

TOLERANCE = 0.001  # of a logit: another engine rounds otherwise, by a thousandth of that


def fold_difference(artifact: Artifact, keeper: HeadKeeper, serving: Serving) -> float:
    """How far a head is from a new solve of its corrections; starts the engine.

    Args:
        artifact: opened.
        keeper: solves.
        serving: the head in use.

    Returns:
        0 when they are bit-equal, else the greatest difference of a logit on the sentinel set and on the corrections.

    Raises:
        StateError: a correction is damaged.
        RuntimeUnavailable: the engine cannot be had.
    """
    evidence = keeper.evidence(serving)
    with Blas().on_one_thread():
        solved = keeper.solve(evidence, serving.labels).head
    if solved.digest() == serving.head.digest():
        return 0.0
    if solved.coefficients.shape[1] != serving.head.coefficients.shape[1]:
        return float("inf")
    statistics = artifact.statistics
    sentinel = Seen(statistics.sentinel_logits, statistics.sentinel_features, statistics.sentinel_context)
    return float(max(np.abs(solved.logits(seen) - serving.head.logits(seen)).max() for seen in (sentinel, *(e.seen for e in evidence))))
