"""A day in the field, simulated: ten thousand predictions and a hundred corrections; what it took, and what is left of it."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import measuring

from edge_agent import EdgeAgent
from edge_agent.settings import Settings

PHOTOS, ARTIFACT, PREDICTIONS, CORRECTIONS = sys.argv[1:]
WARM_UP = 0.02  # of the day


def main() -> None:
    """Predictions of the photos in turn; the corrections evenly between them, each of a photo with a label that it has not."""
    from edge_agent.image import open_picture

    count, every = int(PREDICTIONS), int(PREDICTIONS) // int(CORRECTIONS)
    with tempfile.TemporaryDirectory() as state:
        agent = EdgeAgent.open(ARTIFACT, state, settings=Settings(threads=1))
        pictures = [open_picture(path, agent.settings.image_limits) for path in measuring.photos(PHOTOS)]
        started, warm, verdicts = time.monotonic(), 0, []
        for number in range(count):
            seen = agent.predict(pictures[number % len(pictures)].rotate(number * 7 % 360))
            if number % every == every // 2:
                verdicts.append(agent.correct(seen, seen.top[1].label).verdict)
            if number == int(count * WARM_UP):
                warm = measuring.resident_bytes()
        figures = {"total_s": time.monotonic() - started, "warm_bytes": warm, "end_bytes": measuring.resident_bytes()}
        agent.close()
        figures["state_bytes"] = sum(path.stat().st_size for path in Path(state).iterdir())
    figures |= {"predictions": count, "corrections": len(verdicts), "accepted": verdicts.count("accepted")}
    measuring.answer(figures)


main()
