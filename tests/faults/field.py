"""The parts of one agent, opened once, for rows that open a state thousands of times; they survive a fork."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from on_device import ARTIFACT, PHOTOS, TRUTHS

from edge_agent import keeper
from edge_agent.agent import EdgeAgent
from edge_agent.journal import Journal
from edge_agent.results import Prediction
from edge_agent.runtime import Backbone
from edge_agent.settings import Settings
from edge_agent.state_check import damage_of
from edge_agent.state_reader import open_snapshot

MEMORY = Path("/dev/shm")


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a thing: what only needs processes to end needs no disk."""
    with tempfile.TemporaryDirectory(prefix="faults-", dir=MEMORY if os.access(MEMORY, os.W_OK) else folder) as name:
        yield Path(name)


def now() -> datetime:
    """The clock."""
    return datetime.now(timezone.utc)


class Field:
    """A device in the field: its backbone and engine are started, and it has looked at every photo."""

    def __init__(self, folder: Path) -> None:
        self._first = EdgeAgent.open(ARTIFACT, folder / "never-written", settings=Settings())
        self.artifact = self._first.artifact
        self.seen: tuple[Prediction, ...] = tuple(self._first.predict(path) for path in PHOTOS)
        self.pictures = tuple(path.read_bytes() for path in PHOTOS)
        self._first._keeper.engine()
        self.labels = self._first.labels
        gc.collect()
        gc.freeze()  # a fork then shares these pages

    @contextmanager
    def agent(self, state: Path, settings: Settings | None = None, clock: Callable[[], datetime] = now) -> Iterator[EdgeAgent]:
        """An agent on this state, with the parts that are running."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Backbone, "open", classmethod(lambda *_: self._first._backbone))
            patch.setattr(keeper, "Guard", lambda *_: self._first._keeper.guard)  # what they hold is the artifact's
            patch.setattr(keeper, "Finder", lambda *_: self._first._keeper.finder)
            agent = EdgeAgent(self.artifact, state, settings or Settings(), clock)
        agent._keeper._learner, agent._keeper._engine = self._first._keeper._learner, self._first._keeper._engine
        try:
            yield agent
        finally:
            agent.close()

    def teach(self, agent: EdgeAgent, number: int) -> str:
        """The correction with this number in a life: ten photos taught rightly or, later, otherwise; each ninth is an undo."""
        if number % 9 == 8:
            return f"undo {agent.undo().ids[0]}"
        place = number % len(self.seen)
        label = TRUTHS[place] if number // len(self.seen) % 3 != 1 else self.labels[number % len(self.labels)]
        done = agent.correct(self.seen[place], label, views=0, force=True)
        return f"{done.id} {label}"

    def faults_of(self, state: Path) -> list[str]:
        """Whatever is wrong with a state: damage, or a head that the corrections do not give bit for bit."""
        connection = open_snapshot(state, 1000)
        if connection is None:
            return []
        found = damage_of(connection, state)
        connection.close()
        if found:
            return found
        with self.agent(state) as agent:
            serving = agent._keeper.current()
            solved = agent._keeper.solve(agent._keeper.evidence(serving), serving.labels).head
            return [] if solved.digest() == serving.head.digest() else ["the head is not what the corrections give"]


def read_life(journal: Journal) -> tuple[object, ...]:
    """What a journal says of all that it knows: equal only when nothing differs."""
    head = journal.generation()
    records = [(record.id, record.label, record.seen.context.tobytes()) for record in journal.records()]
    return head.number, None if head.head is None else head.head.digest(), head.labels, journal.history(), records, journal.added_labels()
