"""What the written backbone says about the sentinel pictures and the golden samples: the device compares itself with this."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_agent.errors import InputError
from edge_agent.image import ImageLimits, open_picture, to_tensor
from edge_agent.manifest import ImageSpec
from export.dataset import Picture, Progress, batch_size, batches
from export.written import WrittenBackbone

FloatArray = NDArray[np.float32]
GOLDEN_MOST = 8
SPREAD_PICTURES = 128  # looked at, besides the golden samples, to see how far another rounding reaches in a quantised network
SPREAD_FACTOR = 2.0  # times the greatest that is seen: most pictures show none, and so few do not show the greatest
GOLDEN_RELATIVE_TOLERANCE = 1e-3  # of the greatest logit: other processors add in another order


@dataclass(frozen=True)
class Sentinel:
    """The sentinel pictures as `backbone.onnx` sees them.

    Attributes:
        pictures: those that could be decoded.
        logits: `[Q, C]`, calibrated.
        features: `[Q, D]`.
        context: `[Q, K]`.
        labels: `[Q]`.
    """

    pictures: tuple[Picture, ...]
    logits: FloatArray
    features: FloatArray
    context: FloatArray
    labels: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of pictures whose first label is the true one."""
        return float((self.logits.argmax(axis=1) == self.labels).mean())


@dataclass(frozen=True)
class Golden:
    """Golden samples: PNG files and the logits that a sound device gives for them.

    Attributes:
        files: the content of `golden/00.png` …
        logits: `[G, C]`.
        tolerance: greatest accepted difference of a logit on another machine.
    """

    files: tuple[bytes, ...]
    logits: FloatArray
    tolerance: float


def run_sentinel(
    session: WrittenBackbone, pictures: Sequence[Picture], spec: ImageSpec, limits: ImageLimits, progress: Progress
) -> Sentinel:
    """Run the written backbone over the sentinel pictures.

    Raises:
        InputError: none can be decoded any more.
        ArtifactError: the backbone cannot be run.
    """
    kept: list[Picture] = []
    outputs: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for good, tensor, _ in batches(pictures, spec, limits, batch_size(spec)):
        if good:
            kept += good
            outputs.append(session.run(tensor))
        progress("sentinel through backbone.onnx", len(kept), len(pictures))
    if not kept:
        raise InputError("no sentinel picture can be read", "do not change --data while it is read")
    logits, features, context = (np.concatenate([output[part] for output in outputs]) for part in range(3))
    return Sentinel(tuple(kept), logits, features, context, np.array([p.label for p in kept], np.int64))


def golden_samples(
    session: WrittenBackbone, pictures: Sequence[Picture], spec: ImageSpec, limits: ImageLimits, unoptimised: WrittenBackbone | None = None
) -> Golden:
    """Make golden samples of pictures spread evenly over the labels.

    Args:
        session: the written backbone.
        pictures: in the order of their labels.
        spec: how a picture becomes the input.
        limits: what is refused before decoding.
        unoptimised: the backbone again, run operator by operator, where it is quantised: how far the two differ is how far another
            processor or runtime may be from this one.

    Returns:
        At most 8 samples, the longer side at most twice the crop's.

    Raises:
        InputError: a picture cannot be decoded any more.
        ArtifactError: the backbone cannot be run.
    """
    firsts = list({picture.label: picture for picture in reversed(pictures)}.values())[::-1]
    pool = firsts if len(firsts) >= GOLDEN_MOST else list(pictures)
    picks = sorted({round(place) for place in np.linspace(0, len(pool) - 1, min(GOLDEN_MOST, len(pool)))})
    files = tuple(_png(open_picture(pool[pick].path, limits), 2 * max(spec.crop_px)) for pick in picks)
    logits = golden_logits(session, files, spec, limits)
    tolerance = GOLDEN_RELATIVE_TOLERANCE * max(1.0, float(np.abs(logits).max()))
    if unoptimised is not None:
        places = np.unique(np.linspace(0, len(pictures) - 1, SPREAD_PICTURES).round().astype(int))
        others = [pictures[place].path for place in places]
        tolerance = max(tolerance, SPREAD_FACTOR * _spread(session, unoptimised, [*files, *others], spec, limits))
    return Golden(files, logits, round(tolerance, 6))


def _spread(one: WrittenBackbone, other: WrittenBackbone, sources: Sequence[bytes | Path], spec: ImageSpec, limits: ImageLimits) -> float:
    """The greatest difference of a logit between two sessions."""
    return float(np.abs(golden_logits(one, sources, spec, limits) - golden_logits(other, sources, spec, limits)).max())


def golden_logits(session: WrittenBackbone, files: Sequence[bytes | Path], spec: ImageSpec, limits: ImageLimits) -> FloatArray:
    """Logits `[G, C]` of golden samples, one at a time as a device sees them.

    Raises:
        InputError: a sample cannot be decoded.
        ArtifactError: the backbone cannot be run.
    """
    tensors = [to_tensor(open_picture(content, limits, "a golden sample"), spec) for content in files]
    return np.concatenate([session.run(tensor[None])[0] for tensor in tensors])


def _png(picture: Image.Image, longest_px: int) -> bytes:
    if max(picture.size) > longest_px:
        picture = picture.copy()
        picture.thumbnail((longest_px, longest_px), Image.Resampling.BICUBIC)
    bare = Image.frombytes("RGB", picture.size, picture.tobytes())  # without EXIF, profile or comments
    buffer = io.BytesIO()
    bare.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
