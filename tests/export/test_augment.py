from __future__ import annotations

import dataclasses

import numpy as np
from export_samples import SPEC, picture
from PIL import Image

from export.augment import augmented


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_same_chance_gives_the_same_look() -> None:
    image = picture((200, 50, 40), 1)
    one, other = augmented(image, SPEC, rng(3), True), augmented(image, SPEC, rng(3), True)
    assert one.dtype == np.float32 and one.shape == (3, 32, 32) and np.array_equal(one, other)
    assert not np.array_equal(one, augmented(image, SPEC, rng(4), True))


def test_without_flips_left_stays_left() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, :20] = 255
    image = Image.fromarray(pixels)
    sides = {flip: [augmented(image, SPEC, rng(seed), flip)[0] for seed in range(40)] for flip in (True, False)}
    assert all(look[:, :6].mean() > look[:, -6:].mean() for look in sides[False])
    mirrored = sum(look[:, :6].mean() < look[:, -6:].mean() for look in sides[True])
    assert 8 < mirrored < 32


def test_any_shape_of_picture_and_of_input() -> None:
    for size in ((3, 200), (200, 3), (1, 1), (33, 32)):
        assert augmented(Image.new("RGB", size, (9, 9, 9)), SPEC, rng(0), True).shape == (3, 32, 32)
    wide = dataclasses.replace(SPEC, crop_px=(16, 48), resize_px=48)
    assert augmented(picture((1, 2, 3), 0), wide, rng(0), False).shape == (3, 16, 48)


def test_most_of_the_picture_is_seen() -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (64, 1, 3))
    for seed in range(20):
        look = augmented(Image.fromarray(ramp), SPEC, rng(seed), False)[0]
        reach = (look.max() - look.min()) * SPEC.std[0]
        assert reach > 0.6 * 0.6, "at least 60 % of the area, and contrast changes by at most a fifth"
