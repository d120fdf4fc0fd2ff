"""The default artifact and the photos that it gets wrong, for the tests of the device: real runtime, real files."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from PIL import Image

from edge_agent.artifact import Artifact
from edge_agent.guard import SentinelReport
from edge_agent.head import Evidence
from edge_agent.journal import Entry, Journal
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

Photo = Callable[..., Image.Image]
ROOT = Path(__file__).parents[1]
ARTIFACT = ROOT / "artifacts" / "default"
PHOTOS = tuple(sorted((ROOT / "artifacts" / "field").glob("*/*.jpg")))
TRUTHS = tuple(path.parent.name for path in PHOTOS)


def sentinel_evidence(artifact: Artifact, count: int, seed: int = 0) -> list[Evidence]:
    """Corrections of sentinel pictures with random labels: real contexts, and much to unlearn."""
    rng, statistics = np.random.default_rng(seed), artifact.statistics
    places = rng.permutation(len(statistics.sentinel_labels))[:count]
    labels = rng.integers(0, artifact.manifest.classes, count)
    pairs = enumerate(zip(places.tolist(), labels.tolist(), strict=True), 1)
    return [Evidence(number, label, sentinel_seen(artifact, place)) for number, (place, label) in pairs]


def sentinel_seen(artifact: Artifact, place: int) -> Seen:
    """What the backbone saw in one sentinel picture."""
    statistics = artifact.statistics
    row = slice(place, place + 1)
    context = statistics.sentinel_context[row]
    context = np.ascontiguousarray(context / np.linalg.norm(context), np.float32)  # float16 in the file
    return Seen(statistics.sentinel_logits[row], statistics.sentinel_features[row], context)


class Clock:
    """A clock that goes on by one second with every look."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


def open_journal(folder: Path, digest: str = "a" * 64, **settings: int | bool) -> Journal:
    """A journal with a clock of its own."""
    return Journal(folder, digest, Settings(**settings), Clock())  # type: ignore[arg-type]


def an_entry(number: int, label: str = "frog", active: bool = True) -> Entry:
    """An entry as `correct` writes it."""
    report = SentinelReport(200, 0.835, 0.84, 0.02, 0.835, 0, 1)
    return Entry(
        id=number, made_at="2026-01-01T00:00:00.000+00:00", image=f"photo-{number}.jpg", sample_id=f"{number:016x}", label=label,
        verdict="accepted" if active else "refused", reason="0 of 200 broken", forced=False, was_label="bird", was_probability=0.6,
        now_label=label, now_probability=0.91, steps=10, sentinel=report, generation=number, active=active, undone_at=None,
    )  # fmt: skip


def some_seen(seed: int, classes: int = 3, features: int = 5, directions: int = 4, rows: int = 1) -> Seen:
    """Random numbers of the right shapes; the context has unit length."""
    rng = np.random.default_rng(seed)
    context = rng.normal(size=(rows, directions)).astype(np.float32)
    context /= np.linalg.norm(context, axis=1, keepdims=True)
    return Seen(rng.normal(size=(rows, classes)).astype(np.float32), rng.normal(size=(rows, features)).astype(np.float32), context)


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, but for what SQLite's readers need too: an empty log and its index."""
    gc.collect()  # an agent that nobody holds any more closes its file here, not between two looks
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: data for name, data in found.items() if not name.endswith("-shm") and (data or not name.endswith("-wal"))}


def in_fresh_process(code: str, *arguments: str, python: str = sys.executable, prefix: Sequence[str] = ()) -> str:
    """What a fresh Python prints on stdout; it must exit with 0 and say nothing on stderr."""
    command = [*prefix, python, "-c", code, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stderr == "", result.stderr[-3000:]
    return result.stdout
