"""Past the capacity: older corrections merged, as the product does it, beside forgetting the oldest; one long stream of field photos."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from measures import Scene, accuracy, scenes, seen_in
from photos import opened, photos_in
from threadpoolctl import threadpool_limits

from edge_agent import EdgeAgent
from edge_agent.engines import open_engine
from edge_agent.head import Evidence, Head
from edge_agent.learner import Learner
from edge_agent.remembering import Memory
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


class Forgetful(Learner):
    """The same learner without merging: the oldest leave."""

    def _memories(self, evidence: list[Evidence]) -> list[Memory]:
        newest = [Memory((e.id,), e.label, e.seen) for e in evidence[::-1][: self._capacity]]
        return sorted(newest, key=lambda memory: (memory.seen.context.tobytes(), memory.label))


class Held:
    """A head as a rule that can be scored."""

    def __init__(self, head: Head) -> None:
        """Hold it."""
        self.head = head

    def logits(self, seen: Seen) -> np.ndarray:
        """Of the head."""
        return self.head.logits(seen)


def stream(learner: Learner, scene: Scene, length: int, name: str) -> None:
    """Teach every mistake, and print what is left of clean and field accuracy and of the lessons."""
    head, evidence, taught = learner.solve([], 0).head, list[Evidence](), list[int]()
    for i in np.random.default_rng(1).permutation(len(scene.pool)):
        label = int(scene.pool_labels[i])
        if head.logits(scene.pool[i].seen)[0].argmax() == label:
            continue
        taught.append(int(i))
        evidence.append(Evidence(len(taught), label, scene.pool[i].seen))
        head = learner.solve(evidence, 0).head
        if len(taught) == length:
            break
    right = head.logits(seen_in([scene.pool[i] for i in taught])).argmax(1) == scene.pool_labels[taught]
    clean, field = (accuracy(Held(head), *of) for of in ((scene.others, scene.other_labels), (scene.field, scene.field_labels)))
    print(f"{name}: {len(taught)} corrections, field {field:.1f} %, clean {clean:.1f} %, lessons right {right.mean():.0%}, "
          f"of the newest 50 {right[-50:].mean():.0%}")  # fmt: skip


@click.command()
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of one folder per label.")
@click.option("--capacity", default=64, show_default=True)
@click.option("--length", default=400, show_default=True)
@click.option("--others", default=1000, show_default=True)
def main(photos: Path, capacity: int, length: int, others: int) -> None:
    """Run the stream twice."""
    agent = EdgeAgent.open(ROOT / "artifacts/default", state="no-state")
    with opened(photos) as folder:
        found = photos_in(folder, 0, 1_000_000)
        scene = next(scene for scene in scenes(agent, found[others:], found[:others], 0) if scene.name == "field")
    start = Held(agent.head)
    field, clean = accuracy(start, scene.field, scene.field_labels), accuracy(start, scene.others, scene.other_labels)
    print(f"factory: field {field:.1f} %, clean {clean:.1f} %")
    settings = Settings(capacity=capacity)
    engine = open_engine(agent.artifact, "auto")[0]
    with threadpool_limits(limits=1, user_api="blas"):
        stream(Forgetful(agent.artifact, settings, engine), scene, length, "the oldest forgotten")
        stream(Learner(agent.artifact, settings, engine), scene, length, "older ones merged")


if __name__ == "__main__":
    main()
