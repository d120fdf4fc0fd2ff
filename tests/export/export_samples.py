"""A small network and small pictures: what the export's tests build from, in seconds and without downloads."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edge_agent.manifest import ImageSpec
from export import dataset, writer
from export.assemble import assemble
from export.fit import Fitted
from export.plan import BuildPlan, Prepared
from export.source import Source, Weights

Sample = tuple[BuildPlan, Prepared, Fitted]
LABELS = ("blue", "green", "grey", "red")
COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "grey": (128, 128, 128), "red": (200, 50, 40)}
SPEC = ImageSpec((32, 32), 32, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class SmallNetwork(torch.nn.Module):
    """Three stages, a residual block, a hidden layer with dropout, and a linear last layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        nn = torch.nn
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(24, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, classes))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        x = self.third(self.second(x + self.block(x)))
        return self.head(x.mean((2, 3)))


def silent(stage: str, done: int, total: int) -> None:
    """A progress that shows nothing."""


def picture(colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (40, 36)) -> Image.Image:
    rng = np.random.default_rng(seed)
    width, height = size
    pixels = np.full((height, width, 3), 110.0) + rng.normal(0, 25, (height, width, 3))
    y, x = np.mgrid[0:height, 0:width]
    disc = np.hypot(x - rng.uniform(8, width - 8), y - rng.uniform(8, height - 8)) < rng.uniform(6, 14)
    pixels[disc] = np.array(colour) + rng.normal(0, 18, (int(disc.sum()), 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_photos(root: Path, per_label: int = 12, labels: tuple[str, ...] = LABELS, seed: int = 0) -> Path:
    """A folder of one folder per label, with PNG pictures of coloured discs."""
    seeds = itertools.count(seed * 10_000)
    for label in labels:
        (root / label).mkdir(parents=True)
        for number in range(per_label):
            picture(COLOURS.get(label, (90, 30, 120)), next(seeds)).save(root / label / f"{number:03d}.png")
    return root


def small_network(classes: int = 4, seed: int = 0) -> SmallNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallNetwork(classes).eval().requires_grad_(False)
    network.head[3].weight.mul_(40)  # logits of the size that a trained network gives
    return network


def prepared_for(root: Path, network: torch.nn.Module, labels: tuple[str, ...] = LABELS) -> Prepared:
    state = dict(network.state_dict())
    source = Source("small", network, Weights(state, "weights made up for a test", None, len(labels)))
    return Prepared(source, SPEC, labels, dataset.scan(root), ())


def plan_for(root: Path, output: Path) -> BuildPlan:
    return BuildPlan("small", "none", None, root, output, spare_classes=3, limit=200)


def write_artifact(sample: Sample, output: Path) -> Path:
    with writer.staged(output, overwrite=False) as folder:
        manifest = assemble(folder, *sample, silent)
        (folder / writer.MANIFEST).write_bytes(manifest.to_bytes())
    return output
