"""What the trained part sees of the pictures: the frozen part's output on several looks at each, kept where it fits into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, fx

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits
from edge_agent.manifest import ImageSpec
from export.augment import augmented
from export.dataset import Look, Picture, batch_size, batches
from export.halves import run_below

PLAIN = -1  # the look as the device has it
LOOKS = 6  # different ones at each picture, where they are kept; one after the other, pass by pass
MEMORY_BYTES = 1 << 30
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Seeing:
    """How pictures become what enters the trained part.

    Attributes:
        below: the frozen part, in evaluation mode, or None.
        spec: how a picture becomes the network's input.
        limits: what is refused before decoding.
        flip: whether a look may be mirrored.
        seed: of the looks.
        memory_bytes: what may be kept.
    """

    below: fx.GraphModule | None
    spec: ImageSpec
    limits: ImageLimits
    flip: bool
    seed: int
    memory_bytes: int = MEMORY_BYTES

    def see(self, pictures: Sequence[Picture], look: int, size: int) -> Iterator[Batch]:
        """Decode pictures and run the frozen part, batch by batch.

        Args:
            pictures: in the order that is wanted.
            look: number of the look, or `PLAIN`.
            size: pictures per batch.

        Yields:
            The values `[n, …]` and the labels `[n]`; pictures that cannot be read are left out.
        """
        for good, images, _ in batches(pictures, self.spec, self.limits, size, None if look == PLAIN else self._look(look)):
            if good:
                with torch.no_grad():
                    values = run_below(self.below, torch.from_numpy(images))
                yield values, torch.tensor([picture.label for picture in good])

    def _look(self, look: int) -> Look:
        def seen(picture: Picture, image: Image.Image) -> NDArray[np.float32]:
            chance = np.random.default_rng((self.seed, look, int(picture.digest[:16], 16)))  # the same, whatever the order
            return augmented(image, self.spec, chance, self.flip)

        return seen


class Album:
    """Pictures to learn from, a look at a time.

    Args:
        seeing: how pictures become values.
        pictures: at least one.
        looks: how many different looks; 0: only the plain one. Beyond what memory holds, every pass has looks of its own.

    Raises:
        InputError: no picture can be read.
    """

    def __init__(self, seeing: Seeing, pictures: Sequence[Picture], looks: int) -> None:
        self._seeing, self._pictures, self._looks = seeing, pictures, looks
        self._kept: dict[int, Batch] = {}
        first = next(seeing.see(pictures, PLAIN, batch_size(seeing.spec)), None)
        if first is None:
            raise InputError(f"none of {len(pictures)} pictures to learn from can be read", "look at the files of --data")
        self.fits = first[0][0].numel() * first[0].element_size() * len(pictures) * max(1, looks) <= seeing.memory_bytes

    def batches(self, number: int, order: np.random.Generator | None, size: int) -> Iterator[Batch]:
        """The pictures of one pass, in even batches.

        Args:
            number: of the pass; it chooses the look.
            order: mixes the pictures; None: in their order.
            size: at most so many per batch.

        Yields:
            Values and labels.
        """
        look = PLAIN if not self._looks else number % self._looks if self.fits else number
        if not self.fits:
            places = np.arange(len(self._pictures)) if order is None else order.permutation(len(self._pictures))
            for part in even(places, size):
                yield from self._seeing.see([self._pictures[place] for place in part], look, size)
            return
        if look not in self._kept:
            found = list(self._seeing.see(self._pictures, look, batch_size(self._seeing.spec)))
            self._kept[look] = torch.cat([values for values, _ in found]), torch.cat([labels for _, labels in found])
        values, labels = self._kept[look]
        places = np.arange(len(labels)) if order is None else order.permutation(len(labels))
        for part in even(places, size):
            yield values[part], labels[part]


def even(places: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Places in parts of nearly the same length, at most `size`: no last batch of one, which batch normalisation cannot use."""
    return list(np.array_split(places, -(-len(places) // size)))
