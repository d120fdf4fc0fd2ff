"""Labels as names of folders, on every file system: what a name may not hold is written as % and the hexadecimal bytes of its UTF-8."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable

UNSAFE = frozenset('<>:"/\\|?*%')
RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))})
MOST_BYTES = 120  # of a name; file systems allow 255, archives and copying tools less
_DIGEST = 12


def folder_names(labels: Iterable[str]) -> dict[str, str]:
    """A folder's name for each label.

    Args:
        labels: 1 to 128 printable characters each.

    Returns:
        Label → name: the label itself where it is fit, else the same with letters escaped. A name that is too long is cut; it, and
        names that differ in upper and lower case alone, end with a digest of the label.
    """
    names = {label: _escaped(label) for label in labels}
    alike = Counter(_folded(name) for name in names.values())
    return {
        label: _with_digest(name, label) if alike[_folded(name)] > 1 or len(name.encode()) > MOST_BYTES else name
        for label, name in names.items()
    }


def _escaped(label: str) -> str:
    marks = {0} if label[0] in "._-~" or label.split(".")[0].casefold() in RESERVED else set()
    marks |= {len(label) - 1} if label[-1] in ". " else set()
    return "".join(_as_bytes(letter) if place in marks or letter in UNSAFE else letter for place, letter in enumerate(label))


def _as_bytes(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _with_digest(name: str, label: str) -> str:
    short = name.encode()[: MOST_BYTES - _DIGEST - 1].decode(errors="ignore")
    return f"{short}%{hashlib.sha256(label.encode()).hexdigest()[:_DIGEST]}"
