"""Views: a picture as it might be taken again, to be remembered with a correction; the same ones for the same picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from edge_agent.errors import UsageError

MOST_VIEWS = 8
_SHIFT = 0.08  # of the shorter side, at most
_NOISE = 4.0  # standard deviation of a cheap sensor in fair light, of 255


def views_of(picture: Image.Image, count: int, sample_id: str) -> list[Image.Image]:
    """Composite re-shots: every other one is flipped, each is shifted, a little brighter or darker, and has noise of its own.

    Args:
        picture: in RGB.
        count: 0 to 8; the first is the flip, which brings most.
        sample_id: seeds the shifts and the noise, so that a correction has the same views wherever it is made again.

    Returns:
        Pictures of the same size.
    """
    rng = np.random.default_rng(int(sample_id, 16))
    return [_view(picture, rng, flipped=place % 2 == 0) for place in range(count)]


def check_views(count: int) -> None:
    """Refuse a number of views that cannot be.

    Raises:
        UsageError: the count is outside 0…8.
    """
    if not 0 <= count <= MOST_VIEWS:
        raise UsageError(f"views is {count}, expected 0 to {MOST_VIEWS}", "each view costs a pass through the backbone")


def _view(picture: Image.Image, rng: np.random.Generator, flipped: bool) -> Image.Image:
    if flipped:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    reach = max(1, round(_SHIFT * min(picture.size)))
    right, down = rng.integers(-reach, reach + 1, 2)
    pixels = np.pad(np.asarray(picture), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    pixels = pixels[reach + down : reach + down + picture.height, reach + right : reach + right + picture.width]
    noisy = pixels * rng.uniform(0.9, 1.1) + rng.normal(0, _NOISE, pixels.shape)
    return Image.fromarray(np.clip(np.round(noisy), 0, 255).astype(np.uint8))
