"""The product's own learner, guard and engine behind the interface of a feature benchmark: `make(art)` → `correct`, `logits`, `add_class`.

`art` holds arrays instead of a network: the last layer (`W`, `b`), training features (`Xtr`, `ytr`), sentinel features (`Xsen`, `ysen`);
rows are the features of the last layer, followed by those of earlier blocks where there are any. The statistics come from `export`, the
graphs are written for the shape at hand, and every step is taken by ONNX Runtime.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from edge_agent.artifact import Artifact, Statistics
from edge_agent.engines import open_engine
from edge_agent.engines.contract import HeadEngine
from edge_agent.guard import Guard
from edge_agent.head import AddedClasses, Evidence, Head
from edge_agent.learner import Learner
from edge_agent.manifest import (
    FileEntry,
    GoldenFacts,
    ImageSpec,
    Manifest,
    ModelFacts,
    ParityFacts,
    Producer,
    SentinelFacts,
    StatisticsFacts,
)
from edge_agent.runtime import Seen
from edge_agent.settings import Settings
from export import statistics
from export.assemble import capacity_for
from export.head_graph import Head as HeadModule
from export.head_graph import write_training

FloatArray = NDArray[np.float32]
SPARE = 16


@lru_cache(maxsize=8)
def head_files(classes: int, capacity: int) -> tuple[Path, dict[str, FileEntry]]:
    """The training graph of a head of this shape, written once for each process and removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="learning-rule-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_training(HeadModule(classes + SPARE, capacity), folder / "training")
    contents = {f"training/{path.name}": path.read_bytes() for path in (folder / "training").iterdir()}
    return folder, {name: FileEntry(len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()}


@lru_cache(maxsize=8)
def engine_for(classes: int, capacity: int, name: str) -> HeadEngine:
    """One engine for each shape, as on a device: it lives as long as the process."""
    return open_engine(artifact_for(classes, capacity, 1, 1, None, None), name)[0]


def artifact_for(
    classes: int, capacity: int, features: int, directions: int, new_class: Any, arrays: Statistics | None, accuracy: float = 0.0
) -> Artifact:
    """An artifact without a network: what the learner, the guard and the engine read of one."""
    folder, files = head_files(classes, capacity)
    stand_ins = {name: FileEntry(0, "0" * 64) for name in (
        "labels.txt", "backbone.onnx", "statistics.safetensors", "golden/00.png", "portable/step.onnx",
    )}  # fmt: skip
    size = 1 if arrays is None else len(arrays.sentinel_labels)
    manifest = Manifest(
        ModelFacts("features", 0, "0" * 64, "last", "linear"), ImageSpec((1, 1), 1, "bilinear", (0, 0, 0), (1, 1, 1)),
        classes, SPARE, features, directions, capacity, 1.0, (), new_class, SentinelFacts(size, accuracy, True),
        StatisticsFacts(0, 0, ()), GoldenFacts(1, 1.0), ParityFacts(0, 0, 0, 0), Producer("", "", "", "", ""), {**stand_ins, **files},
    )  # fmt: skip
    labels = tuple(f"label {place}" for place in range(classes))
    return Artifact(folder, manifest, "", labels, arrays)  # type: ignore[arg-type]


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
        accuracy = float((seen.logits.argmax(1) == labels).mean())
        capacity = settings.capacity or capacity_for(classes)
        artifact = artifact_for(classes, capacity, self.width, seen.context.shape[1], facts, arrays, accuracy)
        self.learner = Learner(artifact, settings, engine_for(classes, capacity, settings.engine))
        self.guard, self.classes = Guard(artifact, settings), classes
        self.added, self.evidence = 0, list[Evidence]()
        self.stats = {"guard": 0, "rej": 0}
        empty = AddedClasses.unlearned(0, self.width, seen.context.shape[1])
        self.head = Head.factory(classes, settings.exponent_low, empty)
        self.right = self.guard.right(self.head)
        self.blas = ThreadpoolController()

    def seen(self, rows: FloatArray) -> Seen:
        """What a backbone would have said of these rows."""
        features = np.ascontiguousarray(rows[:, : self.width], np.float32)
        return Seen(features @ self.weight.T + self.bias, features, self.map.apply(rows.astype(np.float32)))

    def logits(self, rows: FloatArray) -> FloatArray:
        """Corrected logits of feature rows."""
        return self.head.logits(self.seen(rows))

    def correct(self, row: FloatArray, label: int, views: FloatArray | None = None) -> bool:
        """Teach one row; False when the guard refuses."""
        with self.blas.limit(limits=1, user_api="blas"):
            rows = row[None] if views is None or not self.use_views else np.concatenate([row[None], views])
            evidence = [*self.evidence, Evidence(len(self.evidence) + 1, int(label), self.seen(rows))]
            candidate = self.learner.solve(evidence, self.added)
            judgement = self.guard.judge(self.right, candidate.head, int(label) >= self.classes)
            if not judgement.accepted:
                self.stats["guard"] += 1
                self.stats["rej"] += 1
                return False
            self.evidence, self.head, self.right = evidence, candidate.head, self.guard.right(candidate.head)
            return True

    def add_class(self) -> int:
        """Add a class without a shot; returns its index."""
        self.added += 1
        self.head = self.learner.solve(self.evidence, self.added).head
        return self.classes + self.added - 1


def make(art: dict[str, Any], use_views: bool = False, **options: Any) -> FeatureAgent:
    """The entry point of the feature benchmarks: views are left alone unless asked for; other options are settings."""
    return FeatureAgent(art, Settings(**options), use_views)
