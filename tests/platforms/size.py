"""`make device-size`: what each extra really installs, and that the minimal set stays small and does the whole job.

Each row is a fresh environment without pip; its size is that of every file in it, the project's own included. "as pip leaves it"
holds the byte code that pip compiles, "without byte code" is what `--no-compile` installs. Exits with 1 when the minimal set is larger
than its limit, or does not predict, correct, undo and answer `health`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from comparing import MINIMAL, ROOT, CommandError, Device, build_wheel, differences, environment, table

LIMIT_MB = 130
TITLES = ("what is installed", "as pip leaves it, MB", "without byte code, MB", "the five largest, MB")
LARGE = ("cuda", "portable-gpu")


def size_mb(folder: Path, byte_code: bool) -> float:
    """Bytes of every file below a folder, in millions."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in paths if byte_code or path.suffix != ".pyc") / 1e6


def measured(name: str, site: Path) -> tuple[str, ...]:
    """The row of the table."""
    packages = sorted(((size_mb(path, False), path.name) for path in site.iterdir() if path.is_dir()), reverse=True)
    largest = ", ".join(f"{package} {size:.0f}" for size, package in packages[:5])
    return name, f"{size_mb(site, True):.0f}", f"{size_mb(site, False):.0f}", largest


def minimal(folder: Path, wheel: Path) -> tuple[tuple[str, ...], list[str]]:
    """The row of the minimal set, and what is wrong with it.

    Raises:
        CommandError: it cannot be installed, or the device check fails there.
    """
    python = environment(sys.executable, folder, ["--no-deps", "--no-compile", "-r", str(MINIMAL), str(wheel)])
    site = next(folder.glob("lib/python*/site-packages"))
    line, total = measured("requirements-minimal.txt, --no-deps --no-compile", site), size_mb(site, True)
    found = Device((str(python),), {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}).check()
    reference = Device((sys.executable,), {**os.environ, "PYTHONPATH": str(ROOT)}).check()
    faults, _ = differences(reference, found)
    if total > LIMIT_MB:
        faults.append(f"it takes {total:.1f} MB, expected at most {LIMIT_MB}")
    print(f"the minimal set: {total:.1f} MB; health {found['health']['status']}, peak memory {found['peak_mb']:.0f} MB", file=sys.stderr)
    return line, faults


def extras(folder: Path, wheel: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """The rows of the extras."""
    lines = []
    for name in names:
        try:
            environment(sys.executable, folder, [f"{wheel}[{name}]"])
            lines.append(measured(f"[{name}]", next(folder.glob("lib/python*/site-packages"))))
        except CommandError as error:
            lines.append((f"[{name}]", "", "", f"cannot be installed here: {error}"))
        shutil.rmtree(folder, ignore_errors=True)
        print(" ".join(lines[-1]), file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gpu-wheels", action="store_true", help="also [cuda] and [portable-gpu]: 600 MB to fetch")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = build_wheel(folder)
        try:
            first, faults = minimal(folder / "minimal", wheel)
        except CommandError as error:
            first, faults = ("requirements-minimal.txt", "", "", ""), [str(error)]
        names = ["portable", "cpu", *(LARGE if given.gpu_wheels else ())]
        lines = [first, *extras(folder / "extra", wheel, names)]
    print(f"Python {sys.version_info[0]}.{sys.version_info[1]}, {os.uname().machine}\n")
    print(table(TITLES, lines))
    for fault in faults:
        print(f"FAILED: the minimal set: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
