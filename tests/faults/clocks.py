"""D5: a clock that is wrong or jumps. What is older is told by the sequence alone; the time is written down and decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from fault import Fault, Outcome
from field import Field

from edge_agent.settings import Settings

CHANGES = 16
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
Moment = Callable[[int], datetime]
CLOCKS: dict[str, Moment] = {
    "1970": lambda look: datetime(1970, 1, 1, tzinfo=timezone.utc),
    "2038": lambda look: datetime(2038, 1, 19, 3, 14, 8, tzinfo=timezone.utc) + timedelta(seconds=look),
    "back an hour": lambda look: START + timedelta(seconds=look) - timedelta(hours=look > 8),
    "forward 50 years": lambda look: START + timedelta(days=18262 * (look > 8), seconds=look),
    "backwards": lambda look: START - timedelta(seconds=look),
    "another zone, and back": lambda look: START.astimezone(timezone(timedelta(hours=14 if look % 2 else -12))) + timedelta(seconds=look),
}


class Clock:
    """Tells a moment by how often it was looked at."""

    def __init__(self, moment: Moment) -> None:
        self.moment, self.looks = moment, 0

    def __call__(self) -> datetime:
        self.looks += 1
        return self.moment(self.looks)


def life(device: Field, state: Path, moment: Moment) -> dict[str, object]:
    """What remains of a life by this clock, without the times."""
    clock, settings = Clock(moment), Settings(kept_pictures=3, kept_generations=2, kept_unused=1)
    for half in (range(CHANGES // 2), range(CHANGES // 2, CHANGES)):
        with device.agent(state, settings, clock) as agent:
            for number in half:
                device.teach(agent, number)
            agent.queue.offer(device.seen[half[0] % 10])
    with device.agent(state, settings, clock) as agent:
        last = agent.undo().ids
        history = agent.history()
        return {
            "head": agent.head.digest(), "generation": agent.predict(device.pictures[0]).generation, "the last one": last,
            "history": [(entry.id, entry.label, entry.standing) for entry in history],
            "pictures": [entry.id for entry in history if agent.picture(entry.id) is not None],
            "queue": [waiting.sample_id for waiting in agent.queue.waiting()], "faults": device.faults_of(state),
        }  # fmt: skip


def run(trials: int, seed: int, folder: Path) -> Outcome:
    """The same life by each clock, beside that by a right one."""
    device, failures = Field(folder), list[str]()
    right = life(device, folder / "right", lambda look: START + timedelta(seconds=look))
    for number, (name, moment) in enumerate(CLOCKS.items()):
        found = life(device, folder / str(number), moment)
        failures += [f"{name}: {what} {found[what]}, by a right clock {right[what]}" for what in right if found[what] != right[what]]
    return Outcome(len(CLOCKS), tuple(failures), {"changes in each life": CHANGES})


FAULTS = (
    Fault(
        "D5", "clocks: 1970, 2038, back an hour, forward 50 years, backwards, another zone with each look",
        "order by sequence only: head, history, undo, kept pictures and queue are those of a right clock", "clock", 6, 6, run,
    ),
)  # fmt: skip
