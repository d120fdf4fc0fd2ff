"""D4, the artifact's half: one bit flipped, a file cut, or a file replaced by an older valid one; opened and read back each time.

Most trials damage a small artifact that is sound in every rule: a trial then costs a millisecond, and every bit of it is met many times.
One in a hundred damages the default artifact with its real network. A trial that changes nothing, for there are byte-equal files of both
versions, is none and is drawn again.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from fake_artifact import fake_arrays, fake_files, fake_manifest, write_artifact
from fault import Fault, Outcome
from on_device import ARTIFACT
from safetensors.numpy import save

from edge_agent.artifact import Artifact
from edge_agent.errors import ArtifactError

Rng = np.random.Generator
REAL_EVERY = 100
MEMORY = Path("/dev/shm")


def older_files() -> dict[str, bytes]:
    """Every file of an older artifact of the same kind: valid, and another one."""
    arrays = {name: array * 2 if array.dtype.kind == "f" else array[::-1].copy() for name, array in fake_arrays().items()}
    files = {name: b"older " + data for name, data in fake_files().items()}
    return {**files, "labels.txt": b"dog\ncat\ntree frog\n", "statistics.safetensors": save(arrays)}


class Ground:
    """A directory with an artifact, its bytes, and those of an older one where there is one."""

    def __init__(self, folder: Path, older: dict[str, bytes]) -> None:
        self.folder, self.older = folder, older
        self.files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        self.digest = Artifact.open(folder).digest

    def damaged(self, rng: Rng) -> tuple[str, str, bytes]:
        """The name of a file, what is done to it, and its bytes then; never the ones it has."""
        while True:
            name = list(self.files)[int(rng.integers(len(self.files)))]
            sound, turn = self.files[name], rng.random()
            if turn < 0.7:
                place, bit = int(rng.integers(len(sound))), int(rng.integers(8))
                return name, f"bit {bit} of byte {place}", sound[:place] + bytes([sound[place] ^ 1 << bit]) + sound[place + 1 :]
            if turn < 0.9:
                size = int(rng.integers(len(sound)))
                return name, f"cut to {size} bytes", sound[:size]
            if self.older.get(name, sound) != sound:
                return name, "replaced by the older one", self.older[name]

    def fault_of(self, rng: Rng) -> str:
        """Damage one file, open the artifact, put the file back; what is wrong with what came of it, or nothing."""
        name, what, content = self.damaged(rng)
        path = self.folder / name
        path.write_bytes(content)
        try:
            opened = Artifact.open(self.folder)
        except ArtifactError as error:
            named = name in error.message or (name == "manifest.json" and what.startswith("replaced"))  # then its files do not fit it
            return "" if named and error.hint else f"{name}, {what}: {error.message[:200]}"
        except BaseException as error:
            return f"{name}, {what}: {type(error).__name__}: {error!s:.200}"
        finally:
            path.write_bytes(self.files[name])
        return f"{name}, {what}: nobody saw it (digest {opened.digest[:12]})"


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """Damage after damage, and at the end the sound artifact opens as before."""
    rng, old = np.random.default_rng([seed, 4]), older_files()
    old["manifest.json"] = fake_manifest(old).to_bytes()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as memory:  # a disk takes longer than the trial
        small = Ground(write_artifact(Path(memory, "small"), fake_files(), fake_manifest().to_bytes()), old)
        failures = damage_all(trials, rng, small, folder)
    return Outcome(trials, tuple(failures), {"with the real network": -(-trials // REAL_EVERY)})


def damage_all(trials: int, rng: Rng, small: Ground, folder: Path) -> list[str]:
    """Every trial on one of two grounds; what failed."""
    failures = list[str]()
    real = Ground(shutil.copytree(ARTIFACT, folder / "real"), {})
    real.older = {"golden/00.png": real.files["golden/01.png"], "training/checkpoint": real.files["training/checkpoint-64"]}
    for number in range(trials):
        fault = (real if number % REAL_EVERY == 0 else small).fault_of(rng)
        if fault:
            failures.append(f"{number}: {fault}")
    for ground in (small, real):
        if Artifact.open(ground.folder).digest != ground.digest:
            failures.append("the sound artifact is another one now")
    return failures


FAULTS = (
    Fault(
        "D4-artifact", "the artifact: one bit flipped, a file cut, or a file replaced by an older valid one",
        "refused with the file's name; no traceback", "damage", 1000, 100_000, run,
    ),
)  # fmt: skip
