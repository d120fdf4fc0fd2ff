"""How many bytes a distribution and everything it needs take in this environment, byte code left out."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def closure(roots: list[str]) -> set[str]:
    """The distributions that are here and needed by these, extras left out."""
    found, left = set(), list(roots)
    while left:
        name = re.split(r"[^A-Za-z0-9._-]", left.pop(), maxsplit=1)[0].lower().replace("_", "-")
        try:
            needed = distribution(name).requires or []
        except PackageNotFoundError:  # for another system, or of an extra
            continue
        if name not in found:
            found.add(name)
            left += [text for text in needed if "extra ==" not in text]
    return found


def main(roots: list[str]) -> None:
    """Print the bytes, and of which distributions."""
    names, files = closure(roots), set()
    for name in names:
        files |= {Path(str(file.locate())) for file in distribution(name).files or () if file.suffix != ".pyc"}
    sizes = [path.stat().st_size for path in files if path.is_file()]
    print(json.dumps({"bytes": sum(sizes), "distributions": sorted(names)}))


main(sys.argv[1:])
