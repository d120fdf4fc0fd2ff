"""Photos for the benchmarks: a folder or zip of one folder per label, re-shots, and a field's worth of bad light and lens."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from edge_agent.image import find_pictures

RESHOTS = 8


@dataclass(frozen=True)
class Photo:
    """A photo and its true label."""

    path: Path
    label: str

    def image(self) -> Image.Image:
        """The photo in RGB."""
        with Image.open(self.path) as image:
            return image.convert("RGB")


@contextlib.contextmanager
def opened(source: Path) -> Iterator[Path]:
    """The folder of photos behind a folder or a zip file."""
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(source) as archive:
        archive.extractall(folder)
        yield Path(folder)


def photos_in(folder: Path, seed: int, count: int) -> list[Photo]:
    """At most `count` photos in an order that the seed decides; the label is the name of the folder."""
    found = [Photo(path, path.parent.name) for path in find_pictures(folder)]
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    return [found[i] for i in order]


def in_the_field(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The photo as a cheap camera in bad light gives it: dimmed, colour-cast, blurred, noisy and JPEG-coded."""
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.5, 0.8))
    pixels = np.asarray(image, np.float64) * rng.uniform(0.85, 1.15, 3)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.6) * min(image.size) / 32))
    noisy = np.asarray(image, np.float64) + rng.normal(0, rng.uniform(3, 8), (image.height, image.width, 3))
    coded = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(coded, "JPEG", quality=int(rng.integers(40, 75)))
    return Image.open(coded).convert("RGB")


def reshot(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Another view of the same subject: perhaps flipped, shifted by up to a tenth, brighter or darker, with other noise."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    reach = max(1, min(image.size) // 10)
    dx, dy = rng.integers(-reach, reach + 1, 2)
    padded = np.pad(np.asarray(image), ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    shifted = padded[reach + dy : reach + dy + image.height, reach + dx : reach + dx + image.width]
    noisy = shifted * rng.uniform(0.85, 1.15) + rng.normal(0, 5, shifted.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
