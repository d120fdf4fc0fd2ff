"""The product's own learner, guard and engine on what a backbone saw: no network, no pictures, no journal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stand_in import engine_for, learner_artifact
from threadpoolctl import ThreadpoolController

from edge_agent.artifact import Statistics
from edge_agent.guard import Guard
from edge_agent.head import AddedClasses, Evidence, Head
from edge_agent.learner import Learner
from edge_agent.manifest import NewClass
from edge_agent.runtime import Seen
from edge_agent.settings import Settings


class Pupil:
    """Corrections, each solved with all before it and judged; a refused one is dropped."""

    def __init__(self, classes: int, capacity: int, statistics: Statistics, new_class: NewClass | None, settings: Settings) -> None:
        """The factory head of `classes` labels.

        Args:
            classes: of the network.
            capacity: rows of the head.
            statistics: as an artifact has them, in calibrated units.
            new_class: what a class added later starts from.
            settings: of the learner and the guard; their capacity wins.
        """
        artifact = learner_artifact(classes, settings.capacity or capacity, statistics, new_class)
        self._learner = Learner(artifact, settings, engine_for(classes, artifact.manifest.capacity, settings.engine))
        self._guard, self._classes = Guard(artifact, settings), classes
        self._added, self._evidence = 0, list[Evidence]()
        empty = AddedClasses.unlearned(0, artifact.manifest.features, artifact.manifest.directions)
        self.head = Head.factory(classes, settings.exponent_low, empty)
        self._right: NDArray[np.bool_] = self._guard.right(self.head)
        self._blas: Any = ThreadpoolController()
        self.refused = 0

    def correct(self, seen: Seen, label: int) -> bool:
        """Teach one picture, its views behind it; False when the guard refuses."""
        with self._blas.limit(limits=1, user_api="blas"):
            evidence = [*self._evidence, Evidence(len(self._evidence) + 1, label, seen)]
            head = self._learner.solve(evidence, self._added).head
            if not self._guard.judge(self._right, head, label >= self._classes).accepted:
                self.refused += 1
                return False
            self._evidence, self.head, self._right = evidence, head, self._guard.right(head)
            return True

    def add_class(self) -> int:
        """Add a class without a shot; returns its index."""
        self._added += 1
        self.head = self._learner.solve(self._evidence, self._added).head
        return self._classes + self._added - 1
