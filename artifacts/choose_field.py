"""Choose the photos of `artifacts/field`: a dozen real ones that `artifacts/default` gets wrong; run by `make field`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click

from edge_agent import EdgeAgent

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "benchmarks"))
PHOTOS = 12


@click.command()
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of one folder per label.")
@click.option("--seed", default=0, show_default=True, help="Decides the order in which photos are looked at.")
def main(photos: Path, seed: int) -> None:
    """Copy the first mistake of each label, and then a second one of some, into one folder per label."""
    from photos import opened, photos_in

    target = HERE / "field"
    with opened(photos) as folder, tempfile.TemporaryDirectory() as state:
        agent = EdgeAgent.open(HERE / "default", state=state)
        chosen: dict[str, int] = {}
        for old in target.glob("*/*.jpg"):
            old.unlink()
        for photo in photos_in(folder, seed, 5000):
            if sum(chosen.values()) == PHOTOS:
                break
            allowed = 1 if len(chosen) < len(agent.labels) else 2
            if chosen.get(photo.label, 0) < allowed and agent.predict(photo.path).label != photo.label:
                chosen[photo.label] = chosen.get(photo.label, 0) + 1
                (target / photo.label).mkdir(parents=True, exist_ok=True)
                shutil.copy(photo.path, target / photo.label / photo.path.name)
                (target / photo.label / photo.path.name).chmod(0o644)


if __name__ == "__main__":
    main()
