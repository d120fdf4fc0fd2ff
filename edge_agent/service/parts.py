"""The parts of one running service, made once and handed to every handler."""

from __future__ import annotations

import os
from dataclasses import dataclass

from edge_agent.agent import EdgeAgent
from edge_agent.service.bodies import Bodies
from edge_agent.service.lane import Lane
from edge_agent.service.limits import ServiceLimits
from edge_agent.service.meter import Meter
from edge_agent.service.recent import Recent
from edge_agent.service.self_check import SelfCheck


@dataclass(frozen=True, eq=False)
class Parts:
    """What the handlers work with.

    Attributes:
        agent: the one agent, for the life of the process.
        limits: of the service.
        looking: predictions.
        teaching: whatever is written; one at a time, as the journal takes it.
        reading: history, queue, health: slower than a prediction, and never in its way.
        bodies: reads what clients send.
        recent: the last predictions.
        meter: counts.
        self_check: whether the service still predicts.
    """

    agent: EdgeAgent
    limits: ServiceLimits
    looking: Lane
    teaching: Lane
    reading: Lane
    bodies: Bodies
    recent: Recent
    meter: Meter
    self_check: SelfCheck

    @classmethod
    def of(cls, agent: EdgeAgent, limits: ServiceLimits) -> Parts:
        """Make them; nothing runs yet."""
        looking = Lane("predictions", limits.threads or os.cpu_count() or 1, limits.waiting)
        teaching = Lane("corrections", 1, limits.waiting_corrections)
        reading = Lane("readings", 1, limits.waiting)
        lanes = (looking, teaching, reading)
        return cls(agent, limits, *lanes, Bodies(limits), Recent(limits), Meter(lanes), SelfCheck(agent, looking))

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All lanes; predictions first."""
        return self.looking, self.teaching, self.reading

    @property
    def is_stopping(self) -> bool:
        """Whether nothing new is taken."""
        return not self.teaching.is_open
