"""How steady a network's own answers and contexts are when the same photo is taken again: what a correction's reach rests on.

`python benchmarks/steadiness.py --photos FOLDER --artifact DIR --artifact DIR` prints it for each artifact on the same photos.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np
from learning_tables import markdown_table
from photos import opened, photos_in, reshot

from edge_agent import EdgeAgent

RESHOTS = 4


def steadiness(agent: EdgeAgent, folder: Path, count: int) -> tuple[float, float, float]:
    """The share of re-shots with the photo's label (%), and the median cosine of their contexts, and of unrelated photos' nearest one."""
    rng, kept, alike, contexts = np.random.default_rng(0), [], [], []
    for photo in photos_in(folder, 0, count):
        image = photo.image()
        first = agent.predict(image)
        contexts.append(first.seen.context[0])
        for _ in range(RESHOTS):
            again = agent.predict(reshot(image, rng))
            kept.append(again.label == first.label)
            alike.append(float(again.seen.context[0] @ contexts[-1]))
    between = np.stack(contexts) @ np.stack(contexts).T
    np.fill_diagonal(between, -1)
    return 100 * float(np.mean(kept)), float(np.median(alike)), float(np.median(between.max(1)))


@click.command()
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of one folder per label.")
@click.option("--artifact", "artifacts", type=click.Path(exists=True), multiple=True, required=True)
@click.option("--count", default=400, show_default=True)
def main(photos: Path, artifacts: tuple[str, ...], count: int) -> None:
    """Measure each artifact on the same photos and print the table."""
    rows = []
    with opened(photos) as folder, tempfile.TemporaryDirectory() as state:
        for number, artifact in enumerate(artifacts):
            kept, alike, others = steadiness(EdgeAgent.open(artifact, f"{state}/{number}"), folder, count)
            rows.append((artifact, f"{kept:.1f} %", f"{alike:.2f}", f"{others:.2f}"))
    titles = ("artifact", "re-shots that keep the photo's label", "context: a photo and its re-shot", "a photo and the nearest other one")
    print(markdown_table(titles, rows))


if __name__ == "__main__":
    main()
