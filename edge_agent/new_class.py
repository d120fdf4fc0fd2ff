"""A class added on the device: the first shots give its row a calibrated start, before the learner's steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.head import AddedClasses
from edge_agent.remembering import Memory
from edge_agent.runtime import Seen

DoubleArray = NDArray[np.float64]
SHOTS = 20  # later shots do not move the row any more: the learner's steps carry them
CLAIM = 0.05  # greatest share of the sentinel that a new class may win
LOCAL = 10.0  # weight of the nearness in the context
PRIOR = 5.0  # so many shots weigh as much as what is known of the other classes


class NewClassRule:
    """The calibrated prototype: LEARNING §5, with the statistics of one artifact."""

    def __init__(self, artifact: Artifact) -> None:
        """Take the class scalars and the sentinel.

        Args:
            artifact: opened; where its last layer is not linear only the context part is used.
        """
        statistics = artifact.statistics
        self._scalars = artifact.manifest.new_class
        self._mean, self._mean_row = statistics.feature_mean, statistics.mean_row
        self._sentinel = Seen(statistics.sentinel_logits, statistics.sentinel_features, statistics.sentinel_context)
        own = statistics.sentinel_logits - statistics.sentinel_logits.mean(1, keepdims=True)
        own = own[np.arange(len(own)), statistics.sentinel_labels]
        self._own_logit, self._own_deviation = float(own.mean()), float(own.std())

    def rows(self, memories: Sequence[Memory], added_labels: int) -> AddedClasses:
        """The rows of the added classes.

        Args:
            memories: the corrections that act, in their canonical order.
            added_labels: `P`.

        Returns:
            A row for each; a class without shots keeps its bias of −1e4.
        """
        classes = self._sentinel.logits.shape[1]
        added = AddedClasses.unlearned(added_labels, len(self._mean), self._sentinel.context.shape[1])
        for place in range(added_labels):
            shots = [e.seen for e in memories if e.label == classes + place][:SHOTS]
            if shots:
                features = np.stack([s.features[0] for s in shots]).mean(0, dtype=np.float64)
                context = np.stack([s.context[0] for s in shots]).mean(0, dtype=np.float64)
                added.weight[place], added.local[place], added.bias[place] = self._row(features, context, len(shots))
        return added

    def _row(self, features: DoubleArray, context: DoubleArray, shots: int) -> tuple[DoubleArray, DoubleArray, float]:
        """Weight, local part and bias from the shots' mean features and context, with the claim cap applied."""
        local, scalars = LOCAL * context, self._scalars
        if scalars is None:
            weight, bias = np.zeros_like(features), self._own_logit + 0.25 * self._own_deviation - LOCAL * float(context @ context)
        else:
            offset, trust = features - self._mean, shots / (shots + PRIOR)
            # ‖mean‖² of few shots is too large by the within-class variance over their number: without this one shot does not work
            length = max(float(offset @ offset) - scalars.within / shots, scalars.spread / 4)
            length = trust * length + (1 - trust) * scalars.spread
            weight = scalars.scale * offset + self._mean_row
            bias = scalars.bias + scalars.own_logit + 0.25 * scalars.own_deviation
            bias -= scalars.scale * (length + float(offset @ self._mean))
        claims = self._sentinel.features @ weight + self._sentinel.context @ local + bias - self._sentinel.logits.max(1)
        excess = np.sort(claims)[::-1][min(int(CLAIM * len(claims)), len(claims) - 1)]
        return weight, local, bias - max(float(excess), 0.0)
