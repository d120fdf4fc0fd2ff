"""Photos for the benchmarks: a folder or zip of one folder per label, re-shots, and what bad light and cheap cameras make of them."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

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


@dataclass(frozen=True)
class Site:
    """One installation in the field: a cheap camera in bad light, the same for all of its photos but for small changes.

    Attributes:
        brightness: factor on every pixel; a photo's own light varies by a tenth.
        cast: factors on red, green and blue; a photo's own vary by three hundredths.
        blur: radius of the lens's blur, in 32nds of the shorter side.
        noise: deviation of the sensor's noise, of 255 steps.
        quality: of the JPEG coder.
    """

    brightness: float
    cast: NDArray[np.float64]
    blur: float
    noise: float
    quality: int

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Site:
        """Any installation."""
        return cls(
            rng.uniform(0.5, 0.8), rng.uniform(0.85, 1.15, 3), rng.uniform(0.2, 0.6), rng.uniform(3, 8), int(rng.integers(40, 75))
        )

    def photo(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """The picture as this installation takes it: dimmed, colour-cast, blurred, noisy and JPEG-coded."""
        pixels = np.asarray(image, np.float64) * self.brightness * rng.uniform(0.9, 1.1) * self.cast * rng.uniform(0.97, 1.03, 3)
        lit = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        seen = lit.filter(ImageFilter.GaussianBlur(self.blur * min(image.size) / 32))
        noisy = np.asarray(seen, np.float64) + rng.normal(0, self.noise, (image.height, image.width, 3))
        coded = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(coded, "JPEG", quality=self.quality)
        return Image.open(coded).convert("RGB")


def from_any_site(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture from an installation of its own: nothing is common to two photos but that both are bad."""
    return Site.drawn(rng).photo(image, rng)


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
