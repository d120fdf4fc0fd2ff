"""What the report says, gathered from a finished artifact: its arrays, its pictures, and what corrections do there."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edge_agent.artifact import Artifact
from edge_agent.errors import InputError
from edge_agent.image import ImageLimits, open_picture
from export.dataset import Picture, Progress, Unreadable
from export.effect import Effect, measure_effect
from export.fit import Fitted
from export.layers import Part, parts
from export.learned import Learned
from export.plan import BuildPlan, Prepared
from export.reliability import FloatArray, IndexArray, probabilities
from export.timing import Timing

WORST = 12  # pictures that are shown
THUMBNAIL_PX = 160
QUALITY = 82  # of JPEG


@dataclass(frozen=True)
class Shown:
    """A picture with what is said of it.

    Attributes:
        jpeg: the picture, made small.
        truth: its label.
        said: the label that the network gives it.
        chance: the probability of that label (0…1).
        own: the probability of the true label (0…1).
    """

    jpeg: bytes
    truth: str
    said: str
    chance: float
    own: float


@dataclass(frozen=True)
class Course:
    """How the build went.

    Attributes:
        fitted: what the pictures said.
        actions: what was done with each module before; see `layers.parts`.
        timing: beside the float network, or None.
        elapsed_s: that it took so far.
    """

    fitted: Fitted
    actions: Mapping[str, str]
    timing: Timing | None
    elapsed_s: float


@dataclass(frozen=True)
class Facts:
    """Everything that the report says.

    Attributes:
        artifact: as it was written.
        command: that made it.
        elapsed_s: that it took.
        parts: of the network.
        learned: what was trained before, or None.
        logits: of the sentinel `[Q, C]`, calibrated.
        truths: its labels `[Q]`.
        worst: its pictures whose true label is the least probable, where it is not the first.
        effect: of corrections; None where the network makes no mistake on the sentinel.
        timing: beside the float network, where it was quantised.
        warnings: what is uncertain.
        unreadable: pictures that could not be read.
    """

    artifact: Artifact
    command: str
    elapsed_s: float
    parts: tuple[Part, ...]
    learned: Learned | None
    logits: FloatArray
    truths: IndexArray
    worst: tuple[Shown, ...]
    effect: Effect | None
    timing: Timing | None
    warnings: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]


def gather(plan: BuildPlan, prepared: Prepared, course: Course, progress: Progress) -> Facts:
    """Look at a finished artifact, and teach it some of its own mistakes.

    Args:
        plan: what was built.
        prepared: the same, checked.
        course: how that went.
        progress: told how far it is.

    Returns:
        The facts.

    Raises:
        ArtifactError: the artifact cannot be opened.
        RuntimeUnavailable: no engine can be had.
    """
    artifact, fitted, timing = Artifact.open(plan.output), course.fitted, course.timing
    kept = artifact.statistics
    logits, truths = kept.sentinel_logits, kept.sentinel_labels.astype(np.int64)
    whole = len(fitted.sentinel) == len(truths)  # else a picture vanished while it was read, and rows no longer belong to files
    pictures = fitted.sentinel if whole else ()
    return Facts(
        artifact, plan.command, course.elapsed_s, parts(prepared.network.module, course.actions), fitted.learned, logits, truths,
        worst(pictures, logits, prepared.labels, plan.limits), measure_effect(plan.output, pictures, progress) if pictures else None,
        timing, (*artifact.manifest.statistics.warnings, *(timing.warnings if timing is not None else ())), fitted.unreadable,
    )  # fmt: skip


def worst(pictures: tuple[Picture, ...], logits: FloatArray, labels: tuple[str, ...], limits: ImageLimits) -> tuple[Shown, ...]:
    """The pictures that the network is most wrong about.

    Args:
        pictures: in the order of `logits`, or none.
        logits: `[Q, C]`, calibrated.
        labels: in the order of the logits.
        limits: what is refused before decoding.

    Returns:
        At most 12, the worst first; those that can no longer be read are left out.
    """
    chances = probabilities(logits)
    rows = [(float(chances[row, picture.label]), row, picture) for row, picture in enumerate(pictures)]
    found: list[Shown] = []
    for own, row, picture in sorted(rows, key=lambda one: one[:2]):
        said = int(chances[row].argmax())
        if said == picture.label or len(found) == WORST:
            continue
        try:
            small = thumbnail(open_picture(picture.path, limits))
        except InputError:
            continue
        found.append(Shown(small, labels[picture.label], labels[said], float(chances[row, said]), own))
    return tuple(found)


def thumbnail(picture: Image.Image) -> bytes:
    """A picture as a small JPEG file without anything but its pixels."""
    small = Image.frombytes("RGB", picture.size, picture.tobytes())
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
