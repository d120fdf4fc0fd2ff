"""What devices taught, as `edge-agent corrections export` wrote it, on its way into the next artifact."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_agent.errors import InputError
from edge_agent.manifest import DIGEST_PATTERN, label_fault
from export.dataset import LabelFolder

LIST = "corrections.jsonl"
SCHEMA = 1
LIST_LIMIT_BYTES = 256 * 1024**2
HINT = "give --corrections a directory that edge-agent corrections export wrote"


@dataclass(frozen=True)
class Taught:
    """One correction that stands.

    Attributes:
        label: what the person said.
        path: the picture, or None where the device kept none.
        digest: SHA-256 (hex) of the picture's bytes, or None.
        origin: the device and the correction's number there.
    """

    label: str
    path: Path | None
    digest: str | None
    origin: str


@dataclass(frozen=True)
class Home:
    """Corrections of all devices, sorted out.

    Attributes:
        directories: how many were read.
        pictures: label → pictures to learn from, each once.
        duplicates: the same picture with the same label more than once: used once.
        contradictions: the same picture with different labels: not used.
        without_picture: corrections whose picture the device did not keep.
        unknown: of labels that the network does not have: not used.
        damaged: pictures that are missing or not those that were exported.
    """

    directories: int
    pictures: Mapping[str, tuple[Path, ...]]
    duplicates: tuple[str, ...]
    contradictions: tuple[str, ...]
    without_picture: tuple[str, ...]
    unknown: tuple[str, ...]
    damaged: tuple[str, ...]

    @property
    def used(self) -> int:
        """How many pictures there are to learn from."""
        return sum(len(paths) for paths in self.pictures.values())

    @property
    def paths(self) -> frozenset[Path]:
        """The pictures to learn from."""
        return frozenset(path for paths in self.pictures.values() for path in paths)

    def listed(self) -> Iterator[str]:
        """A line for everything that a person should look at."""
        for title in ("contradictions", "duplicates", "damaged", "unknown", "without_picture"):
            yield from (f"{title.replace('_', ' ').removesuffix('s')}: {line}" for line in getattr(self, title))

    def facts(self) -> dict[str, object]:
        """The keys of `build --json`."""
        names = ("directories", "used", "duplicates", "contradictions", "without_picture", "unknown", "damaged")
        return {name: getattr(self, name) for name in names}


def read(directories: Sequence[Path]) -> list[Taught]:
    """The corrections that stand, of all directories.

    Args:
        directories: as `edge-agent corrections export` wrote them.

    Returns:
        The corrections in the order of the directories and of their lists.

    Raises:
        InputError: a directory has no list, or a line of it is not understood.
    """
    return [taught for directory in directories for taught in _read_one(directory)]


def sort_out(taught: Sequence[Taught], labels: Sequence[str], directories: int) -> Home:
    """Which pictures to learn from, and what a person should look at.

    Args:
        taught: from `read`.
        labels: of the network.
        directories: how many were read.

    Returns:
        The corrections, sorted out.
    """
    known, by_picture = set(labels), dict[str, list[Taught]]()
    damaged, missing = list[str](), list[str]()
    for one in taught:
        if one.path is None or one.digest is None:
            missing.append(_named(one))
        elif _digest(one.path) != one.digest:
            damaged.append(_named(one))
        else:
            by_picture.setdefault(one.digest, []).append(one)
    groups = [by_picture[digest] for digest in sorted(by_picture)]
    contradicted = [group for group in groups if len({one.label for one in group}) > 1]
    agreed = [group for group in groups if len({one.label for one in group}) == 1]
    pictures: dict[str, list[Path]] = {}
    for group in agreed:
        if group[0].label in known and group[0].path is not None:
            pictures.setdefault(group[0].label, []).append(group[0].path)
    return Home(
        directories=directories,
        pictures={label: tuple(paths) for label, paths in sorted(pictures.items())},
        duplicates=tuple(_together(group) for group in agreed if len(group) > 1),
        contradictions=tuple(_together(group) for group in contradicted),
        without_picture=tuple(missing),
        unknown=tuple(_named(one) for group in agreed for one in group if one.label not in known),
        damaged=tuple(damaged),
    )


def with_corrections(folders: Sequence[LabelFolder], home: Home) -> tuple[LabelFolder, ...]:
    """The folders of `--data` with the devices' pictures in them; a label without a folder gets one."""
    files = {folder.name: folder.files for folder in folders}
    for label, paths in home.pictures.items():
        files[label] = (*files.get(label, ()), *paths)
    return tuple(LabelFolder(name, files[name]) for name in sorted(files))


def _read_one(directory: Path) -> Iterator[Taught]:
    path = directory / LIST
    try:
        with path.open("rb") as file:
            content = file.read(LIST_LIMIT_BYTES + 1)
    except OSError as error:
        raise InputError(f"--corrections {directory}: {LIST} cannot be read: {error.strerror}", HINT) from None
    if len(content) > LIST_LIMIT_BYTES:
        raise InputError(f"{path} has more than {LIST_LIMIT_BYTES} bytes", HINT)
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            found = _parsed(line, directory, f"{path}, line {number}")
            if found is not None:
                yield found


def _parsed(line: bytes, directory: Path, where: str) -> Taught | None:
    """One line of the list; None where the correction does not stand."""
    try:
        facts = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}", HINT) from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise InputError(f"{where}: not a correction of schema {SCHEMA}", f"{HINT}, or update edge-export")
    label, file, digest, stands = (facts.get(name) for name in ("label", "file", "sha256", "stands"))
    if not isinstance(label, str) or not label or label_fault(label) is not None:
        raise InputError(f"{where}: label is {str(label)[:40]!r}, expected 1 to 128 printable characters", HINT)
    if not isinstance(stands, bool):
        raise InputError(f"{where}: stands is {str(stands)[:40]!r}, expected true or false", HINT)
    label = unicodedata.normalize("NFC", label)  # as the folders of --data are read
    origin = "".join(letter if letter.isprintable() else "?" for letter in f"{facts.get('device')} #{facts.get('id')}")[:100]
    if not stands:
        return None
    if file is None:
        return Taught(label, None, None, origin)
    if not isinstance(file, str) or not isinstance(digest, str) or DIGEST_PATTERN.fullmatch(digest) is None:
        raise InputError(f"{where}: file and sha256 are not a file's name and a digest", HINT)
    parts = PurePosixPath(file)
    if parts.is_absolute() or ".." in parts.parts or "\\" in file or "\0" in file:
        raise InputError(f"{where}: the file {file[:80]!r} lies outside of the directory", HINT)
    return Taught(label, directory / parts, digest, origin)


def _digest(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _named(one: Taught) -> str:
    return f"{one.label} ({one.origin})"


def _together(group: Sequence[Taught]) -> str:
    return f"{str(group[0].digest)[:12]}: {', '.join(_named(one) for one in group)}"
