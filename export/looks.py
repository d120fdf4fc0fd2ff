"""What the trained part sees of the pictures: the frozen part's output on several looks at each, kept where it fits into memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

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

    def see(self, pictures: Sequence[Picture], look: int, size: int) -> Iterator[tuple[Tensor, list[Picture]]]:
        """Decode pictures and run the frozen part, batch by batch.

        Args:
            pictures: in the order that is wanted.
            look: number of the look, or `PLAIN`.
            size: pictures per batch.

        Yields:
            The values `[n, …]` and the pictures, n ≥ 1; those that cannot be read are left out.
        """
        for good, images, _ in batches(pictures, self.spec, self.limits, size, None if look == PLAIN else self._look(look)):
            if good:
                with torch.no_grad():
                    values = run_below(self.below, torch.from_numpy(images))
                yield values, good

    def _look(self, look: int) -> Look:
        def seen(picture: Picture, image: Image.Image) -> NDArray[np.float32]:
            chance = np.random.default_rng((self.seed, look, int(picture.digest[:16], 16)))  # the same, whatever the order
            return augmented(image, self.spec, chance, self.flip)

        return seen


class Pictures(Protocol):
    """What a network learns from, a pass at a time."""

    @property
    def size(self) -> int:
        """How many pictures."""

    def batches(self, number: int, order: np.random.Generator | None, size: int) -> Iterator[Batch]:
        """The pictures of one pass, in even batches.

        Args:
            number: of the pass; it chooses the look.
            order: mixes the pictures; None: in their order.
            size: at most so many per batch.

        Yields:
            Values `[n, …]` and labels `[n]`.
        """


@dataclass(frozen=True, eq=False)
class Kept:
    """Values in memory: one look at each picture.

    Attributes:
        values: `[N, …]`.
        labels: `[N]`.
        places: of the rows that are used, in their order.
    """

    values: Tensor
    labels: Tensor
    places: NDArray[np.int64]

    @classmethod
    def of(cls, seen: Iterable[tuple[Tensor, list[Picture]]]) -> tuple[Kept, list[Picture]]:
        """Keep all that is seen, at least one picture; returns the pictures, too."""
        parts = list(seen)
        pictures = [picture for _, good in parts for picture in good]
        return cls(torch.cat([values for values, _ in parts]), labels_of(pictures), np.arange(len(pictures))), pictures

    @property
    def size(self) -> int:
        """How many pictures."""
        return len(self.places)

    def at(self, places: NDArray[np.int64]) -> Kept:
        """Some of the rows."""
        return dataclasses.replace(self, places=self.places[places])

    def batches(self, number: int, order: np.random.Generator | None, size: int) -> Iterator[Batch]:
        """See `Pictures`; every pass has the same look."""
        for part in even(self.places if order is None else order.permutation(self.places), size):
            yield self.values[part], self.labels[part]


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
        self._kept: dict[int, Kept] = {}
        first = next(seeing.see(pictures, PLAIN, batch_size(seeing.spec)), None)
        if first is None:
            raise InputError(f"none of {len(pictures)} pictures to learn from can be read", "look at the files of --data")
        self.size = len(pictures)
        self.fits = first[0][0].numel() * first[0].element_size() * len(pictures) * max(1, looks) <= seeing.memory_bytes

    def batches(self, number: int, order: np.random.Generator | None, size: int) -> Iterator[Batch]:
        """See `Pictures`."""
        look = PLAIN if not self._looks else number % self._looks if self.fits else number
        if not self.fits:
            places = np.arange(len(self._pictures)) if order is None else order.permutation(len(self._pictures))
            for part in even(places, size):
                for values, pictures in self._seeing.see([self._pictures[place] for place in part], look, size):
                    yield values, labels_of(pictures)
            return
        if look not in self._kept:
            self._kept[look], _ = Kept.of(self._seeing.see(self._pictures, look, batch_size(self._seeing.spec)))
        yield from self._kept[look].batches(number, order, size)


def labels_of(pictures: Sequence[Picture]) -> Tensor:
    """Their labels, `[n]`."""
    return torch.tensor([picture.label for picture in pictures])


def even(places: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Places in parts of nearly the same length, at most `size`: no last batch of one, which batch normalisation cannot use."""
    return list(np.array_split(places, -(-len(places) // size)))
