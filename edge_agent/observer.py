"""From a picture to what the backbone sees in it, and in views of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from edge_agent.image import ImageLimits, PictureSource, open_picture, read_picture_file, to_tensor
from edge_agent.manifest import ImageSpec
from edge_agent.runtime import Backbone, Seen
from edge_agent.views import views_of


@dataclass(frozen=True, eq=False)
class Observation:
    """One picture.

    Attributes:
        name: as it was given; None for a picture in memory.
        sample_id: names the pixels that the network saw.
        seen: one row.
        picture: its file, where it came from one.
    """

    name: str | None
    sample_id: str
    seen: Seen
    picture: bytes | None


@dataclass(frozen=True, eq=False)
class Observer:
    """Backbone, image preset and limits together; safe to share between threads."""

    backbone: Backbone
    spec: ImageSpec
    limits: ImageLimits

    def observe(self, source: PictureSource, name: str | None) -> Observation:
        """Look at a picture.

        Args:
            source: what `edge_agent.image.open_picture` takes.
            name: what to call it; a path names itself.

        Raises:
            InputError: the picture cannot be used.
        """
        if isinstance(source, (str, os.PathLike)):
            name = name or os.fspath(source)
            source = read_picture_file(source, self.limits)
        name = name and name.encode("utf-8", "replace").decode("utf-8")  # a file's name need not be text
        tensor = to_tensor(open_picture(source, self.limits, name or "the picture"), self.spec)
        sample_id = hashlib.sha256(tensor.data).hexdigest()[:16]
        return Observation(name, sample_id, self.backbone.run(tensor[None]), source if isinstance(source, bytes) else None)

    def observe_views(self, source: PictureSource, name: str | None, count: int, seed: str) -> list[Seen]:
        """Look at views of a picture, one row each; `seed` (hexadecimal) decides which.

        Raises:
            InputError: the picture cannot be used.
        """
        views = views_of(open_picture(source, self.limits, name or "the picture"), count, seed)
        return [self.backbone.run(to_tensor(view, self.spec)[None]) for view in views]
