"""An artifact without a network: what the learner, the guard and the engines read of one, for measurements on features alone."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from edge_agent.artifact import Artifact, Statistics
from edge_agent.engines import open_engine
from edge_agent.engines.contract import HeadEngine
from edge_agent.manifest import (
    FileEntry,
    GoldenFacts,
    ImageSpec,
    Manifest,
    ModelFacts,
    NewClass,
    ParityFacts,
    Producer,
    SentinelFacts,
    StatisticsFacts,
)

SPARE = 16
_NOTHING = FileEntry(0, "0" * 64)


def engine_artifact(folder: Path, classes: int, rows: int) -> Artifact:
    """What an engine reads: the graphs in a folder, for a head of `classes` columns."""
    return Artifact(folder, _manifest(folder, classes, 0, (1, 1), rows, None, 1, 0.0), "", (), None)  # type: ignore[arg-type]


def learner_artifact(classes: int, capacity: int, statistics: Statistics, new_class: NewClass | None) -> Artifact:
    """What the learner and the guard read, for a head with spare classes; its graphs are written once for each process."""
    logits, labels = statistics.sentinel_logits, statistics.sentinel_labels
    shape = statistics.sentinel_features.shape[1], statistics.sentinel_context.shape[1]
    accuracy = float((logits.argmax(1) == labels).mean())
    folder = _head_files(classes, capacity)
    manifest = _manifest(folder, classes, SPARE, shape, capacity, new_class, len(labels), accuracy)
    return Artifact(folder, manifest, "", tuple(f"label {place}" for place in range(classes)), statistics)


@lru_cache(maxsize=8)
def engine_for(classes: int, capacity: int, name: str) -> HeadEngine:
    """One engine for each shape, as on a device: it lives as long as the process."""
    return open_engine(engine_artifact(_head_files(classes, capacity), classes + SPARE, capacity), name)[0]


@lru_cache(maxsize=8)
def _head_files(classes: int, capacity: int) -> Path:
    from export.head_graph import Head, write_training
    from export.portable_step import write_step

    folder = Path(tempfile.mkdtemp(prefix="stand-in-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    head = Head(classes + SPARE, capacity)
    (folder / "portable").mkdir()
    write_training(head, folder / "training")
    write_step(head, folder / "portable/step.onnx")
    return folder


def _manifest(
    folder: Path, classes: int, spare: int, shape: tuple[int, int], rows: int, new_class: NewClass | None, sentinel: int, accuracy: float
) -> Manifest:
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("*/*")}
    files = {name: FileEntry(len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()}
    absent = ("labels.txt", "backbone.onnx", "statistics.safetensors", "golden/00.png")
    return Manifest(
        ModelFacts("features", 0, "0" * 64, "last", "linear"), ImageSpec((1, 1), 1, "bilinear", (0, 0, 0), (1, 1, 1)),
        classes, spare, *shape, rows, 1.0, (), new_class, SentinelFacts(sentinel, accuracy, True), StatisticsFacts(0, 0, ()),
        GoldenFacts(1, 1.0), ParityFacts(0, 0, 0, 0), Producer("", "", "", "", ""), {**dict.fromkeys(absent, _NOTHING), **files},
    )  # fmt: skip
