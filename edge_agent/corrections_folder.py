"""Corrections on their way home: pictures in one folder per label, and beside them what is known of each, one JSON object per line."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_agent import __version__
from edge_agent.artifact import Artifact
from edge_agent.errors import InputError, UsageError
from edge_agent.folder_names import folder_names
from edge_agent.recorded import Recorded

LIST = "corrections.jsonl"
LEFT_OUT = ".left-out"  # a dot keeps it out of `edge-export build --data`
SCHEMA = 1
STANDING = frozenset({"acting", "merged", "forgotten"})  # forgotten: past the capacity of the head, and right all the same
SUFFIXES: Mapping[bytes, str] = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp", b"RIFF": ".webp"}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        directory: where.
        corrections: lines of the list.
        pictures: picture files, those of corrections that do not stand included.
        used: corrections that stand and have their picture.
        labels: of these, how many each label has.
        without_picture: ids of corrections whose picture the journal does not keep.
    """

    directory: str
    corrections: int
    pictures: int
    used: int
    labels: dict[str, int]
    without_picture: tuple[int, ...]


def export_corrections(
    history: Sequence[Recorded], picture: Callable[[int], bytes | None], artifact: Artifact, directory: Path, device: str | None = None
) -> Exported:
    """Write every correction of a history into a new directory, all or nothing.

    Args:
        history: the first one first.
        picture: the file that was kept with a correction, or None.
        artifact: whose corrections they are.
        directory: must not exist, or be empty.
        device: what the list calls this device; by default the machine's name.

    Returns:
        What was written.

    Raises:
        UsageError: something lies at `directory`: nothing is ever overwritten.
        InputError: there is nothing to export, or the directory cannot be written.
    """
    _check_free(directory)
    if not history:
        raise InputError("there are no corrections to export", "correct a picture first, or name the right --state")
    parent = Path(os.path.abspath(directory)).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=parent, ignore_cleanup_errors=True) as temporary:
            folder = Path(temporary, "corrections")
            folder.mkdir()
            found = _write(folder, history, picture, artifact, device or platform.node() or "unnamed")
            _check_free(directory)
            os.rename(folder, directory)
    except OSError as error:
        raise InputError(f"{directory} cannot be written: {error.strerror}", "name a directory with room for the pictures") from None
    return Exported(str(directory), *found)


def _write(
    folder: Path, history: Sequence[Recorded], picture: Callable[[int], bytes | None], artifact: Artifact, device: str
) -> tuple[int, int, int, dict[str, int], tuple[int, ...]]:
    names = folder_names({entry.label for entry in history})
    origin = {"device": device, "artifact": artifact.digest, "model": artifact.manifest.model.name, "edge_agent": __version__}
    counts: dict[str, int] = {}
    missing, pictures = list[int](), 0
    with (folder / LIST).open("w", encoding="utf-8", newline="\n") as lines:
        for entry in history:
            content, file, digest = picture(entry.id), None, None
            stands = entry.standing in STANDING
            if content is None:
                missing.append(entry.id)
            else:
                digest, pictures = hashlib.sha256(content).hexdigest(), pictures + 1
                file = "/".join([*([] if stands else [LEFT_OUT]), names[entry.label], _file_name(entry.id, digest, content)])
                _write_picture(folder / file, content)
                if stands:
                    counts[entry.label] = counts.get(entry.label, 0) + 1
            facts = {"schema": SCHEMA, **asdict(entry), "stands": stands, "file": file, "sha256": digest, **origin}
            lines.write(json.dumps(facts, ensure_ascii=False, allow_nan=False) + "\n")
        lines.flush()
        os.fsync(lines.fileno())
    return len(history), pictures, sum(counts.values()), dict(sorted(counts.items())), tuple(missing)


def _write_picture(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _file_name(number: int, digest: str, content: bytes) -> str:
    suffix = next((suffix for start, suffix in SUFFIXES.items() if content.startswith(start)), ".png")
    return f"{number:06d}-{digest[:12]}{suffix}"


def _check_free(directory: Path) -> None:
    """Refuse a directory where something lies.

    Raises:
        UsageError: it is there and not empty, or no directory.
    """
    if os.path.lexists(directory) and (directory.is_symlink() or not directory.is_dir() or os.listdir(directory)):
        raise UsageError(f"{directory} exists and is not an empty directory", "give a new one: nothing is ever overwritten")


