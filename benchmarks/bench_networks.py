"""What `make bench` measures: one network at 224×224 px with random weights, for 10, 100 and 1000 labels, as each rival needs it.

The time of a pass does not depend on what a network has learned; the steps of a correction do. So there are trained ones too, at the 64 px
at which the weights were trained: for 100 and 1000 labels its ten are divided into kinds, the clusters of their features, and a last layer
is fitted to them.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import onnx
import torch
from photos import Photo, opened, photos_in
from sklearn.cluster import KMeans
from torch import nn
from torchvision.models import mobilenet_v3_small
from torchvision.transforms._presets import ImageClassification

from edge_agent.artifact import Artifact

CLASSES, PHOTOS, SIDE_PX, TRAINED_PX = (10, 100, 1000), 2500, 224, 64
TRAINED_PHOTOS, FIT_STEPS = 5000, 300
IR_VERSION = 10  # the newest that onnxruntime-training 1.19.2 reads


@click.command()
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of one folder per label.")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), required=True, help="Trained, for ten labels at 64 px.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(photos: Path, weights: Path, output: Path) -> None:
    """Make what is not there yet."""
    with opened(photos) as folder:
        found = photos_in(folder, 0, TRAINED_PHOTOS)
        for classes in CLASSES:
            one_network(found[:PHOTOS], classes, output)
        for classes in CLASSES[1:]:
            trained_network(found, weights, classes, output)
    build(output / "photos-10", output / "network-10.pth", SIDE_PX, output / "int8-10", "--quantize", "int8", "--force")
    artifact = Artifact.open(output / "network-10")
    statistics, last = artifact.statistics, weights_of(output, 10).classifier[3]
    np.savez(
        output / "features.npz", features=statistics.sentinel_features, labels=statistics.sentinel_labels,
        weight=last.weight.detach().numpy(), bias=last.bias.detach().numpy(),
    )  # fmt: skip
    whole_network(weights_of(output, 10), output / "whole-network")


def weights_of(output: Path, classes: int) -> nn.Module:
    """The network with its weights."""
    network = mobilenet_v3_small(num_classes=classes)
    network.load_state_dict(torch.load(output / f"network-{classes}.pth", weights_only=True))
    return network.eval()


def one_network(photos: list[Photo], classes: int, output: Path) -> None:
    """Weights, photos by label, and the artifact made of them."""
    folder, kinds = output / f"photos-{classes}", classes // len({photo.label for photo in photos})
    if not folder.exists():
        torch.manual_seed(0)
        folder.mkdir(parents=True)
        torch.save(mobilenet_v3_small(num_classes=classes).state_dict(), output / f"network-{classes}.pth")
        counts, labels = Counter[str](), []
        for photo in photos:
            labels.append(f"{photo.label}-{counts[photo.label] % kinds:03}")
            counts[photo.label] += 1
        sort_photos(photos, labels, folder)
    build(folder, output / f"network-{classes}.pth", SIDE_PX, output / f"network-{classes}")


def sort_photos(photos: Sequence[Photo], labels: Sequence[str], folder: Path) -> None:
    """A folder of one folder per label."""
    for number, (photo, label) in enumerate(zip(photos, labels, strict=True)):
        place = folder / label
        place.mkdir(exist_ok=True, parents=True)
        (place / f"{number:05}.jpg").write_bytes(photo.path.read_bytes())


def trained_network(photos: Sequence[Photo], weights: Path, classes: int, output: Path) -> None:
    """The trained network for the kinds of its ten labels, and the artifact made of it."""
    folder, file = output / f"photos-trained-{classes}", output / f"trained-{classes}.pth"
    if not file.exists():
        ten = mobilenet_v3_small(num_classes=10)
        ten.load_state_dict(torch.load(weights, weights_only=True))
        features, kinds = features_of(ten.eval(), photos), np.zeros(len(photos), np.int64)
        names = sorted({photo.label for photo in photos})
        for place, name in enumerate(names):
            own = np.array([photo.label == name for photo in photos])
            share = classes // len(names)
            kinds[own] = place * share + KMeans(share, n_init=1, random_state=0).fit_predict(features[own])
        network = mobilenet_v3_small(num_classes=classes)
        kept = {name: value for name, value in ten.state_dict().items() if not name.startswith("classifier.3")}
        network.load_state_dict(kept, strict=False)
        fit(network.classifier[3], torch.from_numpy(features), torch.from_numpy(kinds))
        sort_photos(photos, [f"{kind:04}" for kind in kinds.tolist()], folder)
        torch.save(network.state_dict(), file)
    build(folder, file, TRAINED_PX, output / f"trained-{classes}")


@torch.no_grad()
def features_of(network: nn.Module, photos: Sequence[Photo]) -> np.ndarray:
    """`[n, D]`: what enters the last layer."""
    preset = ImageClassification(crop_size=TRAINED_PX, resize_size=TRAINED_PX)
    found, body = [], nn.Sequential(network.features, network.avgpool, nn.Flatten(1), *network.classifier[:3])
    for start in range(0, len(photos), 100):
        found.append(body.eval()(torch.stack([preset(photo.image()) for photo in photos[start : start + 100]])).numpy())
    return np.concatenate(found)


def fit(last: nn.Linear, features: torch.Tensor, labels: torch.Tensor) -> None:
    """Softmax regression on all photos."""
    optimizer = torch.optim.AdamW(last.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(FIT_STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(last(features), labels, label_smoothing=0.05).backward()
        optimizer.step()


def build(photos: Path, weights: Path, side_px: int, artifact: Path, *more: str) -> None:
    """`edge-export build`, unless it was done."""
    if not (artifact / "manifest.json").exists():
        command = [
            sys.executable, "-m", "export.cli", "build", "--model", "mobilenet_v3_small", "--weights", weights, "--data", photos,
            "--input-size", str(side_px), "--output", artifact, "--overwrite", *more,
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=sys.stderr)


class WithLoss(nn.Module):
    """The whole network and its loss, which onnxruntime-training wants as the first output."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy and logits."""
        logits = self.network(image)
        return nn.functional.cross_entropy(logits, label), logits


def whole_network(network: nn.Module, folder: Path) -> None:
    """The training artifact of the whole network: the last layer is trained, everything else frozen; AdamW, as in the tutorial."""
    from onnxruntime.training import artifacts

    if (folder / "checkpoint").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    example = torch.zeros(1, 3, SIDE_PX, SIDE_PX), torch.zeros(1, dtype=torch.long)
    program = torch.onnx.export(
        WithLoss(network), example, dynamo=True, opset_version=20, optimize=False, do_constant_folding=False, verbose=False,
        input_names=["image", "label"], output_names=["loss", "logits"],
    )  # fmt: skip
    assert program is not None
    names = [name for name, _ in network.named_parameters(prefix="network")]
    trained = [name for name in names if name.startswith("network.classifier.3")]
    artifacts.generate_artifacts(
        program.model_proto, requires_grad=trained, frozen_params=[name for name in names if name not in trained],
        optimizer=artifacts.OptimType.AdamW, artifact_directory=folder,
    )  # fmt: skip
    for path in folder.glob("*.onnx"):
        model = onnx.load(path)
        model.ir_version = min(model.ir_version, IR_VERSION)
        onnx.save(model, path)


if __name__ == "__main__":
    main()
