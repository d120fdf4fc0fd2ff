"""Ways to choose the picture that a person is asked about next: the product's queue, and what the literature offers beside it.

All of them answer through an agent of their own: a label is a correction, or the word that the model was right.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Protocol

import numpy as np
from looks import Look, MirrorOnly
from numpy.typing import NDArray

from edge_agent import EdgeAgent
from edge_agent.head import softmax
from edge_agent.runtime import Seen

FloatArray = NDArray[np.float64]


class Asker(Protocol):
    """Somebody who shows pictures to a person."""

    agent: EdgeAgent

    def offer(self, place: int) -> None:
        """A picture of the stream has been predicted."""
        ...

    def ask(self) -> int | None:
        """The place of the picture to ask about, or None where nothing is worth it."""
        ...

    def answer(self, place: int, label: str) -> None:
        """The person has said what it is."""
        ...


class _OwnAgent:
    """An agent with a fresh state in a temporary folder, and the pictures of a stream."""

    def __init__(self, agent: EdgeAgent, look: Look) -> None:
        self._state = tempfile.TemporaryDirectory()
        self.agent = EdgeAgent.open(agent.artifact.path, state=self._state.name, settings=replace(agent.settings, keep_pictures=False))
        self.agent._teacher.observer = MirrorOnly(look)  # type: ignore[assignment]
        self._look, self._pictures = look, look.predictions(agent)


class Product(_OwnAgent):
    """`agent.queue` with its default settings."""

    def __init__(self, agent: EdgeAgent, look: Look, rng: np.random.Generator) -> None:
        """Bind the stream; the generator is not needed."""
        super().__init__(agent, look)
        self._places = {picture.sample_id: place for place, picture in enumerate(self._pictures)}

    def offer(self, place: int) -> None:
        """As `predict --collect` does."""
        self.agent.queue.offer(self._pictures[place])

    def ask(self) -> int | None:
        """The first of `queue list`."""
        first = self.agent.queue.waiting(1)
        return self._places[first[0].sample_id] if first else None

    def answer(self, place: int, label: str) -> None:
        """As `queue label` does."""
        self.agent.queue.label(self._pictures[place].sample_id, label)


class Pool(_OwnAgent):
    """Everything that was seen waits, without a limit; what to ask is chosen by a score."""

    def __init__(self, agent: EdgeAgent, look: Look, rng: np.random.Generator) -> None:
        """Bind the stream; the generator breaks ties and draws."""
        super().__init__(agent, look)
        self._rng = rng
        self._waiting, self._asked = list[int](), list[int]()

    def offer(self, place: int) -> None:
        """Everything is kept."""
        self._waiting.append(place)

    def ask(self) -> int | None:
        """The one with the greatest score."""
        if not self._waiting:
            return None
        scores = self.scores(self._look.at(self._waiting).seen)
        return self._waiting[int((scores + 1e-9 * self._rng.random(len(scores))).argmax())]

    def answer(self, place: int, label: str) -> None:
        """As `correct` does."""
        self._waiting.remove(place)
        self._asked.append(place)
        self.agent.correct(self._pictures[place], label, views=self.agent.settings.views)

    def scores(self, seen: Seen) -> FloatArray:
        """`[N]`: what asking about each is worth."""
        raise NotImplementedError

    def probabilities(self, seen: Seen) -> NDArray[np.float32]:
        """`[N, C]`, of the head in use."""
        return softmax(self.agent.head.logits(seen))


class Random(Pool):
    """Any of them."""

    def scores(self, seen: Seen) -> FloatArray:
        """Drawn."""
        return self._rng.random(len(seen.logits))


class LeastConfident(Pool):
    """One minus the probability of the first label (Settles, "Active Learning Literature Survey", 2009, 3.1)."""

    def scores(self, seen: Seen) -> FloatArray:
        """0…1."""
        return np.asarray(1 - self.probabilities(seen).max(1), np.float64)


class Margin(Pool):
    """The first label's probability less the second's, the smallest first (Scheffer, Decomain and Wrobel, 2001)."""

    def scores(self, seen: Seen) -> FloatArray:
        """−1…0."""
        ordered = np.sort(self.probabilities(seen), axis=1)
        return np.asarray(ordered[:, -2] - ordered[:, -1], np.float64)


class Entropy(Pool):
    """Entropy of the probabilities (Shannon, 1948; Settles, 2009, 3.1)."""

    def scores(self, seen: Seen) -> FloatArray:
        """In nats."""
        p = self.probabilities(seen)
        return np.asarray(-(p * np.log(np.maximum(p, 1e-12))).sum(1), np.float64)


class CoreSet(Pool):
    """The one farthest from everything known: k-centre greedy (Sener and Savarese, "Active Learning for CNNs: A Core-Set Approach", 2018).

    "Known" is what was asked, and the sentinel.
    """

    def scores(self, seen: Seen) -> FloatArray:
        """Distance in the context to the nearest that was asked, or is in the sentinel."""
        known = np.concatenate([self.agent.artifact.statistics.sentinel_context, self._look.seen.context[self._asked]])
        return np.asarray(1 - (seen.context @ known.T).max(1), np.float64)


class Badge(Pool):
    """Uncertain and unlike each other (Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds", 2020).

    The embedding is the loss's gradient for the model's own guess, by the head's coefficients: (p − guess) ⊗ context. The next picture is
    drawn as k-means++ draws its next centre: by the squared distance to the nearest that was drawn; the first of a batch is the longest.
    """

    BATCH = 10

    def scores(self, seen: Seen) -> FloatArray:
        """One for the picture that was drawn."""
        error = self._error(seen)
        length = (error**2).sum(1)
        batch = self._asked[len(self._asked) // self.BATCH * self.BATCH :]
        if not batch:
            return length
        centres = self._look.at(batch).seen
        centre_error = self._error(centres)
        inner = (error @ centre_error.T) * (seen.context @ centres.context.T)
        nearest = np.maximum((length[:, None] + (centre_error**2).sum(1)[None] - 2 * inner).min(1), 0)
        drawn = np.zeros(len(nearest))
        drawn[self._rng.choice(len(nearest), p=nearest / nearest.sum())] = 1
        return drawn

    def _error(self, seen: Seen) -> FloatArray:
        error = np.asarray(self.probabilities(seen), np.float64)
        error[np.arange(len(error)), error.argmax(1)] -= 1
        return error


ASKERS: dict[str, type[Product] | type[Pool]] = {
    "edge-agent": Product, "random": Random, "least confidence": LeastConfident, "margin": Margin, "entropy": Entropy,
    "core-set": CoreSet, "BADGE": Badge,
}  # fmt: skip
