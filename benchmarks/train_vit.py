"""Train a small vision transformer on a folder of photos, for the learning benchmark: as far as a few minutes of two cores go.

torchvision's own `VisionTransformer`, 32×32 px in patches of 8 (patches of 4 take four times as long), flips and shifts, AdamW, one
cosine cycle. Build the artifact with
`PYTHONPATH=benchmarks edge-export build --model train_vit:small_vit --weights out/vit.pth --input-size 32 --data … --output out/vit`.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
import torch
from photos import opened, photos_in
from rich.console import Console
from torch import nn
from torchvision.models import VisionTransformer

SIZE_PX, CLASSES = 32, 10
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def small_vit() -> VisionTransformer:
    """About 0.6 million parameters in 4 blocks."""
    return VisionTransformer(SIZE_PX, 8, num_layers=4, num_heads=4, hidden_dim=128, mlp_dim=256, num_classes=CLASSES)


def pixels(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """All photos `[n, 3, 32, 32]` as the network wants them, and their labels in alphabetical order."""
    photos = photos_in(folder, 0, 1_000_000)
    names = sorted({photo.label for photo in photos})
    images = np.stack([np.asarray(photo.image().resize((SIZE_PX, SIZE_PX))) for photo in photos])
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None], torch.tensor(
        [names.index(photo.label) for photo in photos]
    )


def augmented(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Half of them flipped, all shifted by up to four pixels."""
    flip = torch.rand(len(batch), generator=rng) < 0.5
    batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
    dx, dy = torch.randint(0, 9, (2,), generator=rng).tolist()
    return nn.functional.pad(batch, (4, 4, 4, 4))[:, :, dy : dy + SIZE_PX, dx : dx + SIZE_PX]


def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of right labels (0…1)."""
    network.eval()
    with torch.no_grad():
        right = [(network(images[i : i + 250]).argmax(1) == labels[i : i + 250]).sum() for i in range(0, len(images), 250)]
    network.train()
    return float(sum(right)) / len(images)


@click.command()
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of one folder per label.")
@click.option("--test-photos", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--epochs", default=12, show_default=True)
@click.option("--rate", default=1e-3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=Path("out/vit.pth"), show_default=True)
def main(photos: Path, test_photos: Path, epochs: int, rate: float, output: Path) -> None:
    """Train, print the accuracy after each epoch, and write the state dict."""
    torch.manual_seed(0)
    rng, network, console = torch.Generator().manual_seed(0), small_vit(), Console(stderr=True)
    with opened(photos) as folder:
        images, labels = pixels(folder)
    with opened(test_photos) as folder:
        held, truth = pixels(folder)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.05)
    steps = epochs * (len(images) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1)
    started = time.monotonic()
    for epoch in range(epochs):
        for places in torch.randperm(len(images), generator=rng)[: len(images) // 128 * 128].split(128):
            loss = nn.functional.cross_entropy(network(augmented(images[places], rng)), labels[places], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        console.print(f"epoch {epoch + 1}: {accuracy(network, held, truth):.1%} of {len(held)}, {time.monotonic() - started:.0f} s")
        output.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), output)


if __name__ == "__main__":
    main()
