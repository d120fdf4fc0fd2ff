"""A picture seen a little differently each time: another part of it, mirrored, lighter or darker."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from edge_agent.image import to_tensor
from edge_agent.manifest import ImageSpec

LEAST_AREA = 0.6  # of the picture's largest part of the input's shape
STRETCH = math.log(1.2)  # width against height
JITTER = 0.2  # of brightness, contrast and colour


def augmented(image: Image.Image, spec: ImageSpec, rng: np.random.Generator, flip: bool) -> NDArray[np.float32]:
    """The network's input for a random variation of a picture.

    Args:
        image: in RGB.
        spec: how a picture becomes the input.
        rng: the only source of chance.
        flip: whether it may be mirrored.

    Returns:
        float32 `[3, H, W]`.
    """
    height, width = spec.crop_px
    seen = image.resize((width, height), Image.Resampling[spec.interpolation.upper()], box=_box(image.size, (width, height), rng))
    if flip and rng.random() < 0.5:
        seen = ImageOps.mirror(seen)
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        seen = kind(seen).enhance(float(rng.uniform(1 - JITTER, 1 + JITTER)))
    return to_tensor(seen, dataclasses.replace(spec, resize_px=min(height, width)))


def _box(size: tuple[int, int], shape: tuple[int, int], rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A part of the picture: 60 to 100 % of its largest part of the input's shape, a little stretched, anywhere."""
    width, height = size
    scale = min(width / shape[0], height / shape[1])
    side, stretch = math.sqrt(rng.uniform(LEAST_AREA, 1)), math.exp(rng.uniform(-STRETCH, STRETCH) / 2)
    wide, tall = min(width, shape[0] * scale * side * stretch), min(height, shape[1] * scale * side / stretch)
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - tall)
    return left, top, left + wide, top + tall
