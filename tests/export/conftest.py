"""Fixtures of the export's tests: each is made once, and read by many."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Without the extra [export] there is nothing here that could run.
collect_ignore_glob = [] if all(map(importlib.util.find_spec, ("torch", "torchvision", "onnx"))) else ["test_*.py"]

if TYPE_CHECKING:
    from export_samples import Sample


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 pictures of each of four labels."""
    from export_samples import write_photos

    return write_photos(tmp_path_factory.mktemp("photos") / "data")


@pytest.fixture(scope="session")
def sample(photos: Path) -> Sample:
    """A small network with what its pictures say."""
    from export_samples import plan_for, prepared_for, silent, small_network

    from export.fit import fit

    plan = plan_for(photos, photos.parent / "unused")
    prepared = prepared_for(photos, small_network())
    return plan, prepared, fit(plan, prepared, silent)


@pytest.fixture(scope="session")
def built(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole artifact of the small network; tests that change it copy it first."""
    from export_samples import write_artifact

    return write_artifact(sample, tmp_path_factory.mktemp("artifacts") / "small")


@pytest.fixture
def reseal() -> Callable[[Path], None]:
    """`reseal(folder)`: write a manifest that fits the files as they are now, as someone would who damages with care."""
    from edge_agent.manifest import Manifest
    from export import writer

    def seal(folder: Path) -> None:
        path = folder / writer.MANIFEST
        manifest = Manifest.from_bytes(path.read_bytes())
        path.write_bytes(dataclasses.replace(manifest, files=writer.entries(folder)).to_bytes())

    return seal
