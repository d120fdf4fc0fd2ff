"""One hostile artifact: its name, a sentence, the words of the refusal, and how it is made from a sound one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_artifact import signed


@dataclass(frozen=True)
class Case:
    """A hostile artifact.

    Attributes:
        name: short.
        what: one sentence.
        words: what the refusal must say.
        make: changes a copy of the sound artifact; the folder around it is there to be attacked.
    """

    name: str
    what: str
    words: str
    make: Callable[[Path], object]


def with_facts(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """The manifest with other content, sealed with digests that fit."""

    def make(folder: Path) -> None:
        content = json.loads((folder / "manifest.json").read_bytes())
        change(content)
        (folder / "manifest.json").write_bytes(signed(content))

    return make


def with_entry(name: str, entry: Mapping[str, object] | None = None) -> Callable[[Path], None]:
    """One more file in the manifest, under any name."""
    return with_facts(lambda facts: facts["files"].update({name: entry or {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}}))


def with_value(path: str, value: object) -> Callable[[Path], None]:
    """Another value in the manifest, by its dotted path."""

    def change(facts: dict[str, Any]) -> None:
        *above, last = path.split(".")
        for key in above:
            facts = facts[key]
        facts[last] = value

    return with_facts(change)


def with_file(name: str, content: bytes | Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Another file, and a manifest that fits it: whoever made this artifact sealed it so."""

    def make(folder: Path) -> None:
        old = (folder / name).read_bytes()
        new = content if isinstance(content, bytes) else content(old)
        (folder / name).write_bytes(new)
        with_entry(name, {"bytes": len(new), "sha256": hashlib.sha256(new).hexdigest()})(folder)

    return make
