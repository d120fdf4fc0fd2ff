"""The head that serves, kept in step with the journal: what this process, or another on the same state, committed last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.engines import open_engine
from edge_agent.errors import RuntimeUnavailable, StateError
from edge_agent.findings import Finder
from edge_agent.guard import Guard
from edge_agent.head import AddedClasses, Evidence, Head
from edge_agent.journal import Generation, Journal, Record, Writer
from edge_agent.journal_file import SAVE_HINT
from edge_agent.learner import Learner, Solution
from edge_agent.providers import CPU
from edge_agent.settings import Settings


@dataclass(frozen=True, eq=False)
class Serving:
    """What answers now: replaced as a whole, so that a reader never sees half a change.

    Attributes:
        head: the head in use.
        generation: its number; 0 is the factory's.
        labels: the factory's labels and those added on the device, in the order of the logits.
        right: `[Q]`, which sentinel pictures it gets right.
        stamp: changes when another process has committed; None where there is no state yet.
        evidence: the active corrections, or None until they are needed.
    """

    head: Head
    generation: int
    labels: tuple[str, ...]
    right: NDArray[np.bool_]
    stamp: tuple[int, int] | None
    evidence: tuple[Evidence, ...] | None


class HeadKeeper:
    """Loads, solves and publishes heads; safe to share between threads."""

    def __init__(self, artifact: Artifact, settings: Settings, journal: Journal, provider: str = CPU) -> None:
        """Bind the parts; the engine starts with the first solve, where the backbone runs, and lives as long as the keeper."""
        self._artifact, self._settings, self._journal = artifact, settings, journal
        self.guard, self.finder = Guard(artifact, settings), Finder(artifact)
        self.factory_labels = len(artifact.labels)
        self.capacity = settings.capacity_within(artifact.manifest.capacity)
        self._lock = journal.lock
        self._learner: Learner | None = None
        self._engine, self._provider = ("", ""), provider
        self._serving: Serving | None = None

    def current(self) -> Serving:
        """The head in use; reads the journal only when another process has committed since.

        While another thread corrects, or waits for another process to let it, the head that served before serves on; and so it does when
        the disk fails, or no file can be opened. Within a transaction nothing old is taken for new: it fails.

        Raises:
            StateError: the state belongs to another artifact, or what it needs is damaged.
        """
        serving = self._serving
        if not self._lock.acquire(blocking=serving is None) and serving is not None:
            return serving
        try:
            try:
                stamp = self._journal.stamp()
            except StateError as error:
                if serving is None or not error.may_pass or self._journal.is_writing:
                    raise
                return serving
            if serving is not None and serving.stamp == stamp:
                return serving
            generation = self._journal.generation()
            labels = (*self._artifact.labels, *self._journal.added_labels())
            head, evidence = generation.head, None
            if head is None and generation.number == 0:
                head = self._factory(len(labels))
            elif head is None or generation.labels != labels[len(self._artifact.labels) :]:
                head, evidence = self._rebuilt(generation, labels)
            serving = Serving(head, generation.number, labels, self.guard.right(head), stamp, evidence)
            self._serving = serving
            return serving
        finally:
            self._lock.release()

    def _rebuilt(self, damaged: Generation, labels: tuple[str, ...]) -> tuple[Head, tuple[Evidence, ...] | None]:
        """The head of a damaged snapshot: the events are the truth, and where they too are damaged, what is left of them.

        Predictions go on with it. Nothing can be taught on top of a loss before it was taken back: the evidence stays open.

        Raises:
            StateError: neither the events nor an older snapshot can serve.
        """
        added = labels[len(self._artifact.labels) :]
        if damaged.labels != added[: len(damaged.labels)]:
            raise StateError("the labels that were added on the device are damaged: they are not those of the head", SAVE_HINT)
        records, faults = self._journal.sound_records()
        try:
            evidence = self.as_evidence(records, labels)
            return self.solve(evidence, labels).head, None if faults else evidence
        except RuntimeUnavailable:  # no engine on this device: what an older snapshot holds is better than nothing
            older = self._journal.sound_generation()
            if older is None or older.head is None or older.labels != added:
                raise
            return older.head, None

    def evidence(self, serving: Serving) -> tuple[Evidence, ...]:
        """The active corrections behind a head.

        Raises:
            StateError: one of them is damaged.
        """
        if serving.evidence is not None:
            return serving.evidence
        return self.as_evidence(self._journal.records(), serving.labels)

    def solve(self, evidence: Sequence[Evidence], labels: Sequence[str]) -> Solution:
        """The head for a set of corrections.

        Raises:
            RuntimeUnavailable: the engine cannot be had.
        """
        with self._lock:
            return self._started().solve(evidence, len(labels) - len(self._artifact.labels))

    def publish(
        self,
        writer: Writer,
        cause: str,
        evidence: tuple[Evidence, ...],
        labels: tuple[str, ...],
        solution: Solution,
        right: NDArray[np.bool_] | None = None,
    ) -> Serving:
        """Write a generation; what is returned may serve once the transaction has committed: see `adopt`.

        `right` is what the guard found of this head, where it was asked.
        """
        number = writer.add_generation(cause, solution.head, solution.memories)
        right = self.guard.right(solution.head) if right is None else right
        return Serving(solution.head, number, labels, right, self._journal.stamp(), evidence)

    def adopt(self, serving: Serving) -> None:
        """Let a committed head serve."""
        self._serving = serving

    def engine(self) -> tuple[str, str]:
        """The name of the engine and why that one; starts it.

        Raises:
            RuntimeUnavailable: the engine cannot be had.
        """
        with self._lock:
            self._started()
            return self._engine

    def _started(self) -> Learner:
        if self._learner is None:
            engine, reason = open_engine(self._artifact, self._settings.engine, self._provider)
            self._learner, self._engine = Learner(self._artifact, self._settings, engine), (engine.name, reason)
        return self._learner

    def _factory(self, labels: int) -> Head:
        manifest = self._artifact.manifest
        added = AddedClasses.unlearned(labels - manifest.classes, manifest.features, manifest.directions)
        return Head.factory(manifest.classes, self._settings.exponent_low, added)

    def as_evidence(self, records: Sequence[Record], labels: Sequence[str]) -> tuple[Evidence, ...]:
        """The journal's records with their labels as columns.

        Raises:
            StateError: a record has a label that is not listed.
        """
        places = {label: place for place, label in enumerate(labels)}
        lost = next((record for record in records if record.label not in places), None)
        if lost is not None:
            raise StateError(f"correction {lost.id} has the label {lost.label!r}, which is not listed", "undo it, or add the label")
        return tuple(Evidence(record.id, places[record.label], record.seen) for record in records)
