"""What a state remembers of artifacts: which ones were loaded without harm, by which runtime, and the newest signed version.

One small file, `artifacts.seen`, written whole and renamed. It is no part of the journal: what is lost with it is one trial, or, where a
trusted key is set, the memory of the newest version; so one that is damaged is named and not taken for an empty one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from edge_agent.atomic_file import write_atomically
from edge_agent.errors import InputError, StateError

RECORD_NAME = "artifacts.seen"
KEPT = 32
_LIMIT_BYTES = 16 * 1024


@dataclass(frozen=True)
class ArtifactRecord:
    """What is remembered.

    Attributes:
        tried: (digest of the artifact, name of the runtime) of those that were loaded without harm, the newest last.
        version: the greatest version of a signed artifact that was accepted; 0 where there was none.
        version_of: the digest of that artifact.
    """

    tried: tuple[tuple[str, str], ...] = ()
    version: int = 0
    version_of: str = ""

    def with_tried(self, digest: str, runtime: str) -> ArtifactRecord:
        """The record with one more that was loaded; the oldest leaves where there are too many."""
        others = [pair for pair in self.tried if pair != (digest, runtime)]
        return replace(self, tried=(*others, (digest, runtime))[-KEPT:])

    def to_bytes(self) -> bytes:
        """The file's content: a line of JSON, and its SHA-256."""
        content = json.dumps({"tried": self.tried, "version": self.version, "version_of": self.version_of}, sort_keys=True)
        return f"{content}\n{hashlib.sha256(content.encode()).hexdigest()}\n".encode()


def record_folder(state: Path, digest: str) -> Path:
    """Where the record lies: in the state, or for a default one, which is named after its artifact, in the folder of all of them."""
    return state.parent if state.name == digest[:12] else state


def read_record(folder: Path) -> ArtifactRecord:
    """Read the record.

    Args:
        folder: from `record_folder`.

    Returns:
        What is remembered; nothing where there is no record, or this user may not look.

    Raises:
        StateError: the file is not what was written.
    """
    path = folder / RECORD_NAME
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
    except (OSError, ValueError):
        return ArtifactRecord()
    try:
        content, sealed = data.decode().removesuffix("\n").split("\n")
        facts = json.loads(content)
        tried = tuple((str(digest), str(runtime)) for digest, runtime in facts["tried"])
        record = ArtifactRecord(tried, int(facts["version"]), str(facts["version_of"]))
        if record.to_bytes() == data and sealed:
            return record
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise StateError(f"{path} is damaged", f"find out why; then remove it: {RECORD_NAME} holds which artifacts were tried, and versions")


def write_record(folder: Path, record: ArtifactRecord) -> bool:
    """Write the record into a folder that is this user's; elsewhere, and where the disk refuses, it is left as it is.

    Args:
        folder: from `record_folder`; it is not created.
        record: all of it.

    Returns:
        Whether it was written.
    """
    with contextlib.suppress(OSError, InputError):
        if not hasattr(os, "geteuid") or os.stat(folder).st_uid == os.geteuid():
            write_atomically(folder / RECORD_NAME, record.to_bytes())
            return True
    return False
