"""What there is to say about a correction beside its verdict: how wrong the model was, what contradicts it, how unusual the picture is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.head import NOT_IN_USE, Evidence, FloatArray
from edge_agent.remembered_rows import Rows
from edge_agent.runtime import Seen

CONTRADICTION = 0.5  # alike enough that one of two corrections with different labels will pull at the other: κ is 1/4 and more
UNUSUAL = 0.98


@dataclass(frozen=True)
class Conflict:
    """The nearest remembered correction with another label: its id, its label, and how alike the pictures are (−1…1, cosine)."""

    id: int
    label: str
    similarity: float


@dataclass(frozen=True)
class Findings:
    """About one correction.

    Attributes:
        margin: logit of the right label minus the greatest other one, before; negative when it was wrong; None without a shot of its class.
        rank: place of the right label before, 1 is the first; None for a class without a shot.
        conflict: the nearest remembered correction with another label, or None.
        label_corrections: active corrections of this label, this one included.
        unusual: share of the sentinel pictures that have a nearer neighbour than this picture has (0…1); near 1: unlike the training data.
    """

    margin: float | None
    rank: int | None
    conflict: Conflict | None
    label_corrections: int
    unusual: float

    def words(self) -> str:
        """What of it a person should know, in one sentence, or nothing."""
        parts = []
        if self.conflict is not None and self.conflict.similarity > CONTRADICTION:
            alike = f"{self.conflict.similarity:.2f} alike"
            parts.append(f"it contradicts correction {self.conflict.id} ({self.conflict.label}, {alike}): check both labels")
        if self.unusual > UNUSUAL:
            parts.append(f"the picture is more unusual than {self.unusual:.0%} of the sentinel")
        return "; ".join(parts)


class Finder:
    """Finds them; holds how near the sentinel pictures are to each other."""

    def __init__(self, artifact: Artifact) -> None:
        """Measure the sentinel once."""
        self._contexts = artifact.statistics.sentinel_context
        alike = self._contexts @ self._contexts.T
        np.fill_diagonal(alike, -1)
        self._nearest: NDArray[np.float32] = np.sort(alike.max(1))

    def unusual(self, contexts: NDArray[np.float32]) -> NDArray[np.float64]:
        """For contexts `[N, K]` the share of the sentinel pictures that have a nearer neighbour (0…1); near 1: unlike the training data."""
        nearest = (contexts @ self._contexts.T).max(1)
        share: NDArray[np.float64] = 1 - self._nearest.searchsorted(nearest) / len(self._nearest)
        return share

    def find(
        self, logits: FloatArray, labels: Sequence[str], before: Sequence[Evidence], seen: Seen, label: str, rows: Rows | None = None
    ) -> Findings:
        """The findings about a correction.

        Args:
            logits: `[C+P]`, of the head in use, before the correction.
            labels: of that head.
            before: the active corrections without this one.
            seen: the picture.
            label: the right label, perhaps a new one.
            rows: the same corrections and this one, where a solve has put them together: most often nothing has to be picked up again.

        Returns:
            Numbers and, in `Findings.words`, what they mean.
        """
        margin, rank, place = None, None, len(labels)
        if label in labels:
            place = labels.index(label)
            own = float(logits[place])
            if own > NOT_IN_USE / 2:
                rivals = logits.copy()
                rivals[place] = -np.inf
                margin, rank = own - rivals.item(rivals.argmax()), int(np.count_nonzero(rivals > own)) + 1
        unusual = float(self.unusual(seen.context[:1])[0])
        if rows is None or not len(rows.labels) == len(rows.memories) == len(rows.evidence):  # a row is not always one correction
            others = [evidence for evidence in before if evidence.label != place]
            return Findings(margin, rank, _conflict(labels, others, seen), len(before) - len(others) + 1, unusual)
        same = rows.labels == place
        return Findings(margin, rank, _conflict_in(labels, rows, same, seen), int(np.count_nonzero(same)), unusual)


def _conflict_in(labels: Sequence[str], rows: Rows, same: NDArray[np.bool_], seen: Seen) -> Conflict | None:
    alike = rows.contexts @ seen.context[0]
    alike[same] = -np.inf
    nearest = int(alike.argmax())
    return None if same[nearest] else Conflict(rows.memories[nearest].ids[0], labels[rows.labels[nearest]], float(alike[nearest]))


def _conflict(labels: Sequence[str], others: Sequence[Evidence], seen: Seen) -> Conflict | None:
    if not others:
        return None
    alike = np.concatenate([evidence.seen.context[:1] for evidence in others]) @ seen.context[0]
    nearest = int(alike.argmax())
    return Conflict(others[nearest].id, labels[others[nearest].label], float(alike[nearest]))
