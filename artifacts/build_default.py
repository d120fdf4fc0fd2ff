"""Build `artifacts/default`: torchvision's mobilenet_v3_small on CIFAR-10 at 64×64 px; run by `make artifacts`."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import click

from export.cli import run

ARTIFACT = Path(__file__).resolve().parent / "default"
LICENCE = (
    "The network was trained for this project on CIFAR-10 (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009), "
    "whose photos carry no explicit licence; those in golden/ are eight of them. Everything else is Apache-2.0, as edge-agent is."
)


@click.command()
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of one folder per label.")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), required=True, help="The network's state dict.")
def main(photos: Path, weights: Path) -> None:
    """Unpack the photos if need be, and call `edge-export build`."""
    with tempfile.TemporaryDirectory() as folder:
        if photos.is_file():
            with zipfile.ZipFile(photos) as archive:
                archive.extractall(folder)
            photos = Path(folder)
        arguments = ["build", "--model", "mobilenet_v3_small", "--input-size", "64", "--overwrite", "--output", str(ARTIFACT)]
        arguments += ["--report", str(ARTIFACT.parents[1] / "out/default.report.html"), "--licence", LICENCE]
        sys.exit(run([*arguments, "--weights", str(weights), "--data", str(photos)]))


if __name__ == "__main__":
    main()
