"""What the backbone saw of every photo and of its mirror image, as it is and at installations in the field.

It is kept in a file: the backbone is frozen, and a stream is run many times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from photos import Photo, Site
from PIL import Image, ImageOps

from edge_agent import EdgeAgent, Prediction
from edge_agent.correcting import rank
from edge_agent.runtime import Seen, stacked

ORDER = 12345
"""Seed of the order in which the photos are taken: an installation's noise differs from photo to photo."""


@dataclass(frozen=True)
class Look:
    """Some photos as the backbone sees them.

    Attributes:
        names: `label/file` of each.
        labels: `[N]`, the true ones.
        seen: `N` rows.
        mirrored: `N` rows, of the mirror images: the one view that a correction remembers by default.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    seen: Seen
    mirrored: Seen

    def at(self, places: Sequence[int] | NDArray[np.int64]) -> Look:
        """Some of them."""
        places = np.asarray(places)
        return Look(tuple(self.names[i] for i in places), self.labels[places], _rows(self.seen, places), _rows(self.mirrored, places))

    def predictions(self, agent: EdgeAgent) -> list[Prediction]:
        """As `EdgeAgent.predict` gives them; the picture's file is its name, which is all that `MirrorOnly` needs."""
        found = []
        for place, name in enumerate(self.names):
            seen = _rows(self.seen, np.array([place]))
            ranked = rank(agent.head, agent.labels, seen, 5)
            facts = (f"{place:016x}", 0, 0.0, agent.artifact.digest, seen, name.encode())
            found.append(Prediction(name, ranked[0].label, ranked[0].probability, ranked, *facts))
        return found


class MirrorOnly:
    """Stands in for an agent's observer: the view of a picture is looked up."""

    def __init__(self, look: Look) -> None:
        """Take what was seen."""
        self._mirrored = look.mirrored
        self._places = {name.encode(): place for place, name in enumerate(look.names)}

    def observe_views(self, source: Any, name: str | None, count: int, seed: str) -> list[Seen]:
        """The mirror image.

        Raises:
            ValueError: more views were asked for.
        """
        if count != 1:
            raise ValueError(f"{count} views were asked for, only one was looked at")
        return [_rows(self._mirrored, np.array([self._places[source]]))]


def look_at(agent: EdgeAgent, photos: Sequence[Photo], installation: int | None, folder: Path, note: Callable[[str], None]) -> Look:
    """Look at photos, as they are or at an installation, or read what was seen before.

    Args:
        agent: its backbone looks.
        photos: in the order of `ORDER`.
        installation: its number, the seed that it is drawn from; None for the photos as they are.
        folder: where what was seen is kept.
        note: told what is done.
    """
    file = folder / f"seen-{agent.artifact.digest[:12]}-{len(photos)}-{'clean' if installation is None else installation}.npz"
    if not file.is_file():
        note(f"looking at {len(photos)} photos, {'clean' if installation is None else f'installation {installation}'}")
        images = _taken(photos, installation)
        both = [_looked(agent, images), _looked(agent, [ImageOps.mirror(image) for image in images])]
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, **{f"{name}{i}": getattr(seen, name) for i, seen in enumerate(both) for name in ("logits", "features", "context")})
    with np.load(file) as kept:
        seen, mirrored = (Seen(kept[f"logits{i}"], kept[f"features{i}"], kept[f"context{i}"]) for i in range(2))
    places = {label: place for place, label in enumerate(agent.labels)}
    names = tuple(f"{photo.label}/{photo.path.name}" for photo in photos)
    return Look(names, np.array([places[photo.label] for photo in photos]), seen, mirrored)


def _taken(photos: Sequence[Photo], installation: int | None) -> list[Image.Image]:
    images = [photo.image() for photo in photos]
    if installation is None:
        return images
    rng = np.random.default_rng(installation)
    site = Site.drawn(rng)
    return [site.photo(image, rng) for image in images]


def _looked(agent: EdgeAgent, images: Sequence[Image.Image]) -> Seen:
    return stacked([agent.predict(image).seen for image in images])


def _rows(seen: Seen, places: NDArray[np.int64]) -> Seen:
    return Seen(seen.logits[places], seen.features[places], seen.context[places])
