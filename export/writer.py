"""The artifact's directory: written beside its place, synchronised, then renamed: all or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge_agent.errors import ArtifactError, UsageError
from edge_agent.manifest import FORMAT, MANIFEST_LIMIT_BYTES, FileEntry

MANIFEST = "manifest.json"


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse an output that could not be written, or that is not ours to replace.

    Args:
        output: the directory to be.
        overwrite: whether an artifact that lies there may be replaced.

    Raises:
        UsageError: something lies there that is no artifact, or --overwrite is not given.
        ArtifactError: the folder around it cannot be written.
    """
    if os.path.lexists(output):
        if not _is_artifact(output):
            raise UsageError(f"--output {output} exists and is no artifact", "give a new directory: nothing else is ever replaced")
        if not overwrite:
            raise UsageError(f"--output {output} holds an artifact already", "give --overwrite to replace it")
    parent = _parent(output)
    existing = next(folder for folder in (parent, *parent.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ArtifactError(f"--output {output} cannot be written: {existing} is not a writable directory", "give another --output")


def check_report(report: Path, output: Path) -> None:
    """Refuse a report that could not be written, or that would lie among the files of the artifact, which only its manifest may list.

    Args:
        report: the file to be.
        output: the artifact's directory to be.

    Raises:
        UsageError: it lies in the artifact, or is a directory.
        ArtifactError: the folder around it cannot be written.
    """
    place = Path(os.path.abspath(report))
    if Path(os.path.abspath(output)) in (place, *place.parents):
        raise UsageError(f"--report {report} lies in the artifact, which holds only what its manifest lists", "put it beside it")
    if place.is_dir():
        raise UsageError(f"--report {report} is a directory", "give a file's name")
    existing = next(folder for folder in place.parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ArtifactError(f"--report {report} cannot be written: {existing} is not a writable directory", "give another --report")


@contextlib.contextmanager
def staged(output: Path, overwrite: bool) -> Iterator[Path]:
    """A directory to write into; it becomes `output` when the block ends well, and vanishes when it does not.

    Args:
        output: the directory to be.
        overwrite: whether an artifact that lies there may be replaced.

    Yields:
        The directory to fill.

    Raises:
        UsageError: meanwhile something appeared at `output`.
        ArtifactError: the disk refuses.
    """
    check_output(output, overwrite)
    try:
        _parent(output).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".part", dir=_parent(output)))
    except OSError as error:
        raise ArtifactError(f"--output {output} cannot be written: {error.strerror}", "give another --output") from None
    try:
        yield folder
        _publish(folder, output, overwrite)
    except OSError as error:
        raise ArtifactError(f"--output {output} cannot be written: {error.strerror or error}", "is the disk full?") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def entries(folder: Path) -> dict[str, FileEntry]:
    """Size and digest of every file of an artifact's directory, the manifest left out."""
    found: dict[str, FileEntry] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            found[path.relative_to(folder).as_posix()] = entry(path.read_bytes())
    return found


def entry(content: bytes) -> FileEntry:
    """Size and digest of a file's content."""
    return FileEntry(len(content), hashlib.sha256(content).hexdigest())


def _parent(output: Path) -> Path:
    return Path(os.path.abspath(output)).parent


def _is_artifact(output: Path) -> bool:
    if output.is_symlink() or not output.is_dir():
        return False
    try:
        with (output / MANIFEST).open("rb") as file:
            content = json.loads(file.read(MANIFEST_LIMIT_BYTES))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _publish(folder: Path, output: Path, overwrite: bool) -> None:
    umask = os.umask(0)
    os.umask(umask)
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
        _synchronise(path)
    check_output(output, overwrite)
    if output.exists():
        old = folder.with_suffix(".old")
        output.rename(old)
        try:
            folder.rename(output)
        except OSError:
            old.rename(output)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        folder.rename(output)
    _synchronise(_parent(output))


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
