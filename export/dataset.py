"""The pictures of `--data`: found, split into sentinel and statistics by content, decoded in batches.

The layout is torchvision's `ImageFolder`: one folder per label, pictures in it at any depth. The order inside a label is that
of the SHA-256 of the pictures' bytes, so renaming files changes nothing, and the same bytes twice count once.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_agent.errors import InputError
from edge_agent.image import PICTURE_SUFFIXES, ImageLimits, open_picture, to_tensor
from edge_agent.manifest import ImageSpec

SENTINEL_PER_CLASS = 20
SENTINEL_TOTAL = 500
BATCH_PIXELS = 8 * 224 * 224  # what is larger leaves the caches, and the allocator asks the system anew for every tensor: a fifth slower
BATCH_MOST = 64
SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})

Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`, called from the thread that builds."""
Look = Callable[["Picture", Image.Image], NDArray[np.float32]]
"""A decoded picture → the network's input `[3, H, W]`; called from several threads."""


@dataclass(frozen=True)
class LabelFolder:
    """One folder of `--data`: its name in NFC and the picture files below it, sorted by path."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Picture:
    """One picture file, the index of its label and the SHA-256 (hex) of its bytes."""

    path: Path
    label: int
    digest: str


@dataclass(frozen=True)
class Unreadable:
    """A picture file that could not be read, and why."""

    path: Path
    reason: str

    @property
    def name(self) -> str:
        """Its folder and its name, printable: a manifest and a terminal may show it, and it says nothing of the workstation."""
        return "".join(letter if letter.isprintable() else "?" for letter in f"{self.path.parent.name}/{self.path.name}")

    def __str__(self) -> str:
        return f"{self.name}: {''.join(letter if letter.isprintable() else ' ' for letter in self.reason)}"


@dataclass(frozen=True)
class Split:
    """Which pictures the guard keeps and which the statistics rest on.

    Attributes:
        sentinel: at most 20 per label and 500 in all.
        statistics: the others, evenly over the labels, up to the limit.
        held_out: False when a picture had to serve as both, because its label has no second one.
        unreadable: files whose bytes could not be read.
        contradicted: pictures that lie, byte for byte, in the folders of two labels.
    """

    sentinel: tuple[Picture, ...]
    statistics: tuple[Picture, ...]
    held_out: bool
    unreadable: tuple[Unreadable, ...]
    contradicted: int


def scan(data: Path) -> tuple[LabelFolder, ...]:
    """Find the folders of `--data` and their pictures; hidden files and folders are passed over.

    Args:
        data: a folder of one folder per label.

    Returns:
        The folders that hold pictures, sorted by name as torchvision's `ImageFolder` does.

    Raises:
        InputError: no such folder, no folders in it, no pictures in them, or pictures of one label only.
    """
    layout = "--data is a folder of one folder per label, with pictures in them"
    try:
        entries = sorted(entry.name for entry in os.scandir(data) if entry.is_dir() and not entry.name.startswith((".", "__")))
    except OSError as error:
        raise InputError(f"--data {data} cannot be read: {error.strerror}", layout) from None
    folders = tuple(LabelFolder(unicodedata.normalize("NFC", name), _files(data / name)) for name in entries)
    folders = tuple(folder for folder in folders if folder.files)
    if not folders:
        loose = sum(1 for entry in os.scandir(data) if entry.name.lower().endswith(PICTURE_SUFFIXES))
        found = f"{loose} pictures in no folder" if loose else f"no pictures ({', '.join(PICTURE_SUFFIXES)})"
        raise InputError(f"--data {data} holds {found}", layout)
    if {folder.name.lower() for folder in folders} <= SPLIT_NAMES:
        raise InputError(f"--data {data} holds {', '.join(f.name for f in folders)}", f"give one of them: --data {data / folders[0].name}")
    if len(folders) < 2:
        raise InputError(f"--data {data} holds pictures of one label only: {folders[0].name!r}", "at least two labels are needed")
    return folders


def split(
    folders: Sequence[LabelFolder], labels: Sequence[str], limit: int, progress: Progress, first: frozenset[Path] = frozenset()
) -> Split:
    """Split the pictures, the same way whatever the files are called.

    Args:
        folders: from `scan`; every name is one of `labels`.
        labels: the labels in the order of the logits.
        limit: greatest number of pictures used, sentinel included.
        progress: told how many files have been read.
        first: files that the limit does not leave out of the statistics while others of their label are in.

    Returns:
        The split.

    Raises:
        InputError: no file can be read.
    """
    index = {label: number for number, label in enumerate(labels)}
    classes: list[list[Picture]] = []
    unreadable: list[Unreadable] = []
    total, done = sum(len(folder.files) for folder in folders), 0
    for folder in folders:
        unique: dict[str, Picture] = {}
        for path in folder.files:
            digest = _digest(path)
            if isinstance(digest, Unreadable):
                unreadable.append(digest)
            else:
                unique.setdefault(digest, Picture(path, index[folder.name], digest))
            done += 1
            progress("reading pictures", done, total)
        if unique:
            classes.append([unique[digest] for digest in sorted(unique)])
    if not classes:
        raise InputError(f"none of the {total} pictures of --data can be read", "check the permissions of the files")
    digests = [picture.digest for pictures in classes for picture in pictures]
    sentinel, statistics, held_out = _divide(classes, limit, first)
    return Split(sentinel, statistics, held_out, tuple(unreadable), len(digests) - len(set(digests)))


def batch_size(spec: ImageSpec) -> int:
    """Pictures per batch: bounded by their pixels, so that large inputs fit into memory."""
    height, width = spec.crop_px
    return max(1, min(BATCH_MOST, BATCH_PIXELS // (height * width)))


def batches(
    pictures: Sequence[Picture], spec: ImageSpec, limits: ImageLimits, size: int, look: Look | None = None
) -> Iterator[tuple[list[Picture], NDArray[np.float32], list[Unreadable]]]:
    """Decode pictures in order, on a few threads, one batch ahead of the caller.

    Args:
        pictures: what to decode.
        spec: sizes, interpolation, mean and deviation.
        limits: what is refused before decoding.
        size: pictures per batch.
        look: how a picture is seen; None: as the device sees it.

    Yields:
        The pictures of the batch that could be decoded, their tensor float32 `[n, 3, H, W]` (n may be 0), and those that could not.
    """
    waiting = iter(pictures)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:

        def submit() -> list[tuple[Picture, Future[NDArray[np.float32] | Unreadable]]]:
            return [(picture, pool.submit(_decode, picture, spec, limits, look)) for picture in islice(waiting, size)]

        ahead = submit()
        while ahead:
            current, ahead = ahead, submit()
            results = [(picture, future.result()) for picture, future in current]
            good = [(picture, result) for picture, result in results if not isinstance(result, Unreadable)]
            bad = [result for _, result in results if isinstance(result, Unreadable)]
            tensor = np.stack([array for _, array in good]) if good else np.zeros((0, 3, *spec.crop_px), np.float32)
            yield [picture for picture, _ in good], tensor, bad


def _decode(picture: Picture, spec: ImageSpec, limits: ImageLimits, look: Look | None) -> NDArray[np.float32] | Unreadable:
    try:
        image = open_picture(picture.path, limits)
        return look(picture, image) if look is not None else to_tensor(image, spec)
    except InputError as error:
        return Unreadable(picture.path, error.message.removeprefix(str(picture.path)).lstrip(": "))


def _files(folder: Path) -> tuple[Path, ...]:
    found: list[Path] = []
    for parent, names, files in os.walk(folder, followlinks=True):
        names[:] = sorted(name for name in names if not name.startswith((".", "__")))
        found += [Path(parent, name) for name in files if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")]
    return tuple(sorted(found))


def _digest(path: Path) -> str | Unreadable:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        return Unreadable(path, str(error.strerror))


def _divide(
    classes: Sequence[Sequence[Picture]], limit: int, first: frozenset[Path] = frozenset()
) -> tuple[tuple[Picture, ...], tuple[Picture, ...], bool]:
    """Round by round, one picture of each label: first the sentinel's share of each, then the statistics'."""
    shares = [max(1, min(SENTINEL_PER_CLASS, len(pictures) // 3)) for pictures in classes]
    size = min(SENTINEL_TOTAL, max(1, limit // 3))
    sentinel = _rounds([pictures[:share] for pictures, share in zip(classes, shares, strict=True)], size)
    taken = {(picture.label, picture.digest) for picture in sentinel}
    rest = [[p for p in pictures if (p.label, p.digest) not in taken] for pictures in classes]
    rest = [sorted(pictures, key=lambda picture: picture.path not in first) for pictures in rest]
    held_out = all(rest)
    both = [pictures if pictures else list(whole) for pictures, whole in zip(rest, classes, strict=True)]
    return sentinel, _rounds(both, max(1, limit - len(sentinel))), held_out


def _rounds(classes: Sequence[Sequence[Picture]], size: int) -> tuple[Picture, ...]:
    ranked = [(rank, picture.digest, picture) for pictures in classes for rank, picture in enumerate(pictures)]
    chosen = sorted(ranked, key=lambda entry: entry[:2])[:size]
    return tuple(picture for _, _, picture in sorted(chosen, key=lambda entry: (entry[2].label, entry[0])))
