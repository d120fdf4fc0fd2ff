"""An artifact that is sound to `edge_agent.artifact` and nonsense to a runtime; no torch and no onnx needed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from edge_agent.artifact import (
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

LABELS = ("cat", "dog", "tree frog")


def fake_arrays() -> dict[str, NDArray[Any]]:
    """Arrays for `statistics.safetensors` of 3 labels, 5 features, 4 directions, 6 sentinel pictures, 2 golden samples."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    return {
        "sentinel_context": normal(6, 4).astype(np.float16),
        "sentinel_logits": normal(6, 3),
        "sentinel_features": normal(6, 5).astype(np.float16),
        "sentinel_labels": np.arange(6, dtype=np.int32) % 3,
        "leak_exponents": np.linspace(1, 8, 29, dtype=np.float32),
        "leak": np.linspace(0.5, 0, 29, dtype=np.float32),
        "feature_mean": normal(5),
        "mean_row": normal(5),
        "golden_logits": normal(2, 3),
    }


def fake_files() -> dict[str, bytes]:
    """Every file but the manifest."""
    return {
        "labels.txt": "".join(f"{label}\n" for label in LABELS).encode(),
        "backbone.onnx": b"the backbone",
        "statistics.safetensors": save(fake_arrays()),
        "golden/00.png": b"a picture",
        "golden/01.png": b"another picture",
        "training/training_model.onnx": b"the training graph",
        "training/eval_model.onnx": b"the evaluation graph",
        "training/optimizer_model.onnx": b"the optimizer",
        "training/checkpoint": b"the checkpoint",
        "portable/step.onnx": b"the step",
    }


def fake_manifest(files: dict[str, bytes] | None = None) -> Manifest:
    """The manifest of those files."""
    files = fake_files() if files is None else files
    return Manifest(
        model=ModelFacts("resnet18", 11_689_512, "ab" * 32, "fc", "linear"),
        image=ImageSpec((64, 64), 72, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        classes=3,
        spare_classes=2,
        features=5,
        directions=4,
        capacity=8,
        temperature=1.25,
        taps=("layer3", "layer4"),
        new_class=NewClass(1.0, 2.5, 0.25, 7.5, 1.5, -0.125),
        sentinel=SentinelFacts(6, 0.75, True),
        statistics=StatisticsFacts(100, 1, ("fewer than 2 000 pictures: the context is uncertain",)),
        golden=GoldenFacts(2, 0.001),
        parity=ParityFacts(1e-05, 2e-06, 3e-07, 16),
        producer=Producer("0.1.0", "2.11", "0.26", "1.22", "1.19.2"),
        files={name: FileEntry(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()},
    )


def write_artifact(folder: Path, files: dict[str, bytes], manifest: bytes) -> Path:
    """Write these files and this manifest."""
    for name, data in {**files, "manifest.json": manifest}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_fake_artifact(folder: Path) -> Path:
    """Write the fake artifact."""
    files = fake_files()
    return write_artifact(folder, files, fake_manifest(files).to_bytes())


def signed(content: Any) -> bytes:
    """JSON as the format wants it, with a `sha256` that fits, whatever the content says."""

    def canonical(value: Any) -> bytes:
        return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")

    content = {key: value for key, value in content.items() if key != "sha256"}
    return canonical({**content, "sha256": hashlib.sha256(canonical(content)).hexdigest()})
