"""Opening an artifact: every byte is read once and hashed before anyone sees it; nothing here knows a runtime.

`Artifact.read` returns the very bytes whose SHA-256 stands in the manifest, so what was verified is what the runtime gets.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ArtifactError
from edge_agent.manifest import (
    MANIFEST_LIMIT_BYTES,
    FileEntry,
    GoldenFacts,
    ImageSpec,
    Manifest,
    ModelFacts,
    NewClass,
    ParityFacts,
    Producer,
    SentinelFacts,
    StatisticsFacts,
    label_fault,
    require,
)
from edge_agent.signature import SIGNATURE_LIMIT_BYTES, SIGNATURE_NAME, Signature

__all__ = [
    "Artifact", "FileEntry", "GoldenFacts", "ImageSpec", "Manifest", "ModelFacts", "NewClass", "ParityFacts", "Producer",
    "SentinelFacts", "Statistics", "StatisticsFacts", "label_fault", "parse_labels",
]  # fmt: skip

FloatArray = NDArray[np.float32]
KEPT_LIMITS_BYTES = {"labels.txt": 16 * 1024**2, "statistics.safetensors": 512 * 1024**2}
"""The greatest size of the files that are kept in memory; the others are read in pieces, and whole only for the runtime."""
_PIECE_BYTES = 1024**2


@dataclass(frozen=True)
class Statistics:
    """The arrays of `statistics.safetensors`, with the shapes of `artifacts/README.md`; float16 arrays are widened to float32."""

    sentinel_context: FloatArray
    sentinel_logits: FloatArray
    sentinel_features: FloatArray
    sentinel_labels: NDArray[np.int32]
    leak_exponents: FloatArray
    leak: FloatArray
    feature_mean: FloatArray
    mean_row: FloatArray
    golden_logits: FloatArray

    @classmethod
    def from_bytes(cls, data: bytes, manifest: Manifest) -> Statistics:
        """Load the arrays and check their names, shapes, types and that every number is finite.

        Raises:
            ArtifactError: an array is missing, extra, of another shape or type, or holds NaN or Inf.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise ArtifactError(f"statistics.safetensors cannot be read: {error}", "build the artifact again") from None
        c, d, k, q = manifest.classes, manifest.features, manifest.directions, manifest.sentinel.size
        shapes: dict[str, tuple[int, ...]] = {
            "sentinel_context": (q, k), "sentinel_logits": (q, c), "sentinel_features": (q, d), "sentinel_labels": (q,),
            "leak_exponents": (29,), "leak": (29,), "feature_mean": (d,), "mean_row": (d,),
            "golden_logits": (manifest.golden.count, c),
        }  # fmt: skip
        where = "statistics.safetensors"
        require(set(arrays) == set(shapes), f"arrays are {sorted(arrays)}, expected {sorted(shapes)}", where)
        for name, shape in shapes.items():
            array, dtype = arrays[name], np.int32 if name == "sentinel_labels" else np.float32
            require(array.shape == shape, f"{name} has shape {array.shape}, expected {shape}", where)
            if dtype is np.float32:
                require(array.dtype in (np.float16, np.float32), f"{name} is {array.dtype}, expected float32", where)
                require(bool(np.isfinite(array).all()), f"{name} holds NaN or Inf", where)
            else:
                require(array.dtype == np.int32, f"{name} is {array.dtype}, expected int32", where)
                require(bool(((array >= 0) & (array < c)).all()), f"{name} holds an index outside 0…{c - 1}", where)
            arrays[name] = np.ascontiguousarray(array, dtype)
            arrays[name].flags.writeable = False
        return cls(**arrays)


@dataclass(frozen=True)
class Artifact:
    """An opened and verified artifact.

    Attributes:
        path: where it lies.
        manifest: its manifest.
        digest: SHA-256 (hex) of the manifest's bytes; it names the artifact, since every file's digest is in the manifest.
        labels: the network's labels in the order of the logits.
        statistics: the arrays that the learner and the guard need.
        signature: what `manifest.sig` says, checked by nobody yet; None where the artifact is unsigned.
    """

    path: Path
    manifest: Manifest
    digest: str
    labels: tuple[str, ...]
    statistics: Statistics
    signature: Signature | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Artifact:
        """Open an artifact and verify every file in it.

        Args:
            path: the directory.

        Returns:
            The artifact; its large files are verified here and read again, and verified again, by `read`.

        Raises:
            ArtifactError: missing, foreign, incomplete, with extra or linked files, or changed by as little as one bit.
        """
        root = Path(path)
        if not os.path.isfile(root / "manifest.json"):  # os.path, since Path.is_file raises on a path that may not be looked at
            found = "the directory has no manifest.json" if os.path.isdir(root) else "no such directory"
            raise ArtifactError(f"no artifact at {root}: {found}", "give --artifact a directory that edge-export build wrote")
        data = _read_regular(root, "manifest.json", MANIFEST_LIMIT_BYTES)
        manifest = Manifest.from_bytes(data)
        require(manifest.to_bytes() == data, "is not in its canonical form")
        _refuse_strangers(root, set(manifest.files) | {"manifest.json", SIGNATURE_NAME})
        kept: dict[str, bytes] = {}
        for name, entry in manifest.files.items():
            limit = KEPT_LIMITS_BYTES.get(name)
            if limit is None:
                _verify(root, name, entry)
                continue
            require(entry.bytes <= limit, f"{entry.bytes} bytes, expected at most {limit}", name)
            kept[name] = _read_verified(root, name, entry)
        labels = parse_labels(kept["labels.txt"])
        require(len(labels) == manifest.classes, f"{len(labels)} labels for {manifest.classes} classes", "labels.txt")
        statistics = Statistics.from_bytes(kept["statistics.safetensors"], manifest)
        return cls(root, manifest, hashlib.sha256(data).hexdigest(), labels, statistics, _signature(root))

    def read(self, name: str) -> bytes:
        """The bytes of one listed file, hashed after they were read.

        Raises:
            ArtifactError: the file is not listed, or changed since the artifact was opened.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise ArtifactError(f"the artifact {self.path} has no {name}", "build the artifact again with edge-export")
        return _read_verified(self.path, name, entry)


def parse_labels(data: bytes) -> tuple[str, ...]:
    """The labels of a labels file: one per line, not blank, not repeated, printable, at most 128 characters.

    Raises:
        ArtifactError: a line breaks one of these rules.
    """
    try:
        labels = tuple(data.decode("utf-8").removesuffix("\n").split("\n"))
    except UnicodeDecodeError:
        raise ArtifactError("labels.txt is not UTF-8", "save it as UTF-8, one label per line") from None
    for number, label in enumerate(labels, 1):
        require(label_fault(label) is None, f"line {number} {label_fault(label)}", "labels.txt")
    require(len(set(labels)) == len(labels), "a label stands on two lines", "labels.txt")
    return labels


def _refuse_strangers(root: Path, known: set[str]) -> None:
    for folder, names, files in os.walk(root):
        for name in [*names, *files]:
            full = Path(folder, name)
            relative = full.relative_to(root).as_posix()
            expected = relative in known or any(k.startswith(relative + "/") for k in known)
            require(expected and not os.path.islink(full), f"the file {relative[:80]!r} is not listed or is a link", str(root))


def _signature(root: Path) -> Signature | None:
    if not os.path.lexists(root / SIGNATURE_NAME):
        return None
    return Signature.from_bytes(_read_regular(root, SIGNATURE_NAME, SIGNATURE_LIMIT_BYTES))


def _read_regular(root: Path, name: str, limit_bytes: int) -> bytes:
    """Read a regular file without following a link; at most `limit_bytes` + 1 bytes, so that a longer file is seen as longer."""
    with _opened(root, name) as file:
        return file.read(limit_bytes + 1)


@contextmanager
def _opened(root: Path, name: str) -> Iterator[BinaryIO]:
    """A regular file, opened without following a link and without waiting for the other end of a pipe."""
    try:
        with open(root / name, "rb", opener=_open_unfollowed) as file:
            require(stat.S_ISREG(os.fstat(file.fileno()).st_mode), "is not a regular file", name)
            yield file
    except OSError as error:
        raise ArtifactError(f"{root / name} cannot be read: {error.strerror}", "copy the artifact again") from None


def _open_unfollowed(path: str, flags: int) -> int:
    """An opener for `open`, which closes what it opened also where it then refuses it, as it does with a directory."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _read_verified(root: Path, name: str, entry: FileEntry) -> bytes:
    """The bytes of a file, hashed after they were read."""
    content = _read_regular(root, name, entry.bytes)
    _check(root / name, entry, len(content), hashlib.sha256(content).hexdigest())
    return content


def _verify(root: Path, name: str, entry: FileEntry) -> None:
    """The same for a file that nobody needs yet, a piece at a time."""
    found, size = hashlib.sha256(), 0
    with _opened(root, name) as file:
        while size <= entry.bytes and (piece := file.read(min(_PIECE_BYTES, entry.bytes + 1 - size))):
            found.update(piece)
            size += len(piece)
    _check(root / name, entry, size, found.hexdigest())


def _check(path: Path, entry: FileEntry, size: int, found: str) -> None:
    if size != entry.bytes:
        more = "more" if size > entry.bytes else str(size)
        raise ArtifactError(f"{path} has {more} bytes, the manifest says {entry.bytes}", "copy the artifact again")
    if found != entry.sha256:
        raise ArtifactError(
            f"{path} was changed: its SHA-256 is {found[:12]}…, the manifest says {entry.sha256[:12]}…",
            "copy the artifact again from where it was built",
        )
