"""The product's own learner, guard and engine behind the interface of a feature benchmark: `make(art)` → `correct`, `logits`, `add_class`.

`art` holds arrays instead of a network: the last layer (`W`, `b`), training features (`Xtr`, `ytr`), sentinel features (`Xsen`, `ysen`);
rows are the features of the last layer, followed by those of earlier blocks where there are any. The statistics come from `export`, the
graphs are written for the shape at hand, and every step is taken by ONNX Runtime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pupil import Pupil

from edge_agent.artifact import Statistics
from edge_agent.runtime import Seen
from edge_agent.settings import Settings
from export import statistics
from export.assemble import capacity_for

FloatArray = NDArray[np.float32]


class FeatureAgent:
    """Corrections on feature rows, through the product's learner, guard and engine."""

    def __init__(self, art: dict[str, Any], settings: Settings, use_views: bool) -> None:
        """Fit the statistics as `edge-export build` does, on arrays instead of pictures."""
        weight, bias = art["W"].astype(np.float32), art["b"].astype(np.float32)
        self.width, classes = weight.shape[1], len(weight)
        held, labels = art["Xsen"].astype(np.float32), art["ysen"].astype(np.int64)
        if len(held) > 500:
            chosen = np.random.default_rng(0).permutation(len(held))[:500]
            held, labels = held[chosen], labels[chosen]
        self.use_views = use_views
        self.temperature = statistics.temperature(held[:, : self.width] @ weight.T + bias, labels)
        self.weight, self.bias = weight / np.float32(self.temperature), bias / np.float32(self.temperature)
        self.map = statistics.context_map(art["Xtr"].astype(np.float32))
        seen = self.seen(held)
        exponents, leak = statistics.leak_table(seen.context)
        train = art["Xtr"][:, : self.width].astype(np.float32)
        facts = statistics.new_class(self.weight, self.bias, train, art["ytr"].astype(np.int64), seen.logits, labels)
        arrays = Statistics(
            seen.context, seen.logits, seen.features, labels.astype(np.int32), exponents, leak,
            train.mean(0), self.weight.mean(0), seen.logits[:1],
        )  # fmt: skip
        self.pupil = Pupil(classes, capacity_for(classes), arrays, facts, settings)

    @property
    def stats(self) -> dict[str, int]:
        """How many corrections the guard refused."""
        return {"guard": self.pupil.refused, "rej": self.pupil.refused}

    def seen(self, rows: FloatArray) -> Seen:
        """What a backbone would have said of these rows."""
        features = np.ascontiguousarray(rows[:, : self.width], np.float32)
        return Seen(features @ self.weight.T + self.bias, features, self.map.apply(rows.astype(np.float32)))

    def logits(self, rows: FloatArray) -> FloatArray:
        """Corrected logits of feature rows."""
        return self.pupil.head.logits(self.seen(rows))

    def correct(self, row: FloatArray, label: int, views: FloatArray | None = None) -> bool:
        """Teach one row; False when the guard refuses."""
        rows = row[None] if views is None or not self.use_views else np.concatenate([row[None], views])
        return self.pupil.correct(self.seen(rows), int(label))

    def add_class(self) -> int:
        """Add a class without a shot; returns its index."""
        return self.pupil.add_class()


def make(art: dict[str, Any], use_views: bool = False, **options: Any) -> FeatureAgent:
    """The entry point of the feature benchmarks: views are left alone unless asked for; other options are settings."""
    return FeatureAgent(art, Settings(**options), use_views)
