"""This product: from the start of the process to the first prediction, predictions, and one correction with 32 remembered."""

from __future__ import annotations

import sys
import tempfile

import measuring

PHOTOS, ARTIFACT, ENGINE, THREADS, RUNS = sys.argv[1:]
REMEMBERED = 32


def main() -> None:
    """Measure everything, in the order in which a program would do it."""
    import numpy as np

    from edge_agent import EdgeAgent
    from edge_agent.settings import Settings

    figures = {"import_ms": measuring.since_start_ms()}
    paths = measuring.photos(PHOTOS)
    with tempfile.TemporaryDirectory() as state:
        settings = Settings(engine=ENGINE, threads=int(THREADS), keep_pictures=False)
        agent = EdgeAgent.open(ARTIFACT, state, settings=settings)
        agent.predict(paths[0])
        figures["first_ms"] = measuring.since_start_ms()
        figures["predict_ms"] = measuring.median_ms(lambda place: agent.predict(paths[place % len(paths)]), int(RUNS))
        height, width = agent.artifact.manifest.image.crop_px
        image = np.random.default_rng(0).normal(size=(1, 3, height, width)).astype(np.float32)
        figures["pass_ms"] = measuring.median_ms(lambda _: agent.run_backbone(image), int(RUNS))
        if THREADS == "1":
            figures |= corrections(agent)
        agent.close()
    measuring.answer(figures)


def corrections(agent) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """One more beside those remembered, with its prediction done before: without the disk, and acknowledged."""
    from edge_agent.speed import lessons

    taught = list(lessons(agent.artifact, REMEMBERED + measuring.WARM_UP + 30))
    for seen, label in taught[:REMEMBERED]:
        agent.correct(seen, label, force=True)
    new, before = taught[REMEMBERED:], measuring.written_bytes()
    agent.correct(*new[0], force=True)
    written = measuring.written_bytes() - before
    agent.undo()
    return {
        "correct_ms": measuring.median_ms(lambda place: agent.correct(*new[place], force=True, dry_run=True), 30),
        "acknowledged_ms": measuring.median_ms(lambda place: agent.correct(*new[place], force=True), 10, agent.undo),
        "written_bytes": written,
    }


main()
