"""What the head can hold: past its capacity the newest corrections stay as they are, and the older ones are merged.

Of the corrections of one label the two that lie nearest to each other become one row, again and again, until all fit. A merged row lies at
the mean of its pictures and has the logits of the one that was furthest from right, so it reaches all of them, though not each for certain.
Measured against forgetting the oldest, on streams many times the capacity: more accuracy in the field and more of the old corrections
right (docs/learning.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.head import Evidence
from edge_agent.runtime import Seen

EXACT_SHARE = 0.5  # of the rows is for the newest corrections, each on its own
MOST_MERGED = 4  # times the capacity: older corrections than that are forgotten, which bounds the work
_APART = -2.0  # below every cosine


@dataclass(frozen=True, eq=False)
class Memory:
    """One correction, or several that were merged: the ids (the newest first), the label, and the rows that stand for them."""

    ids: tuple[int, ...]
    label: int
    seen: Seen


def memories(newest_first: Iterable[Evidence], capacity: int) -> list[Memory]:
    """Everything that fits.

    Args:
        newest_first: corrections of different pictures.
        capacity: rows in all; a correction with views takes one for each.

    Returns:
        Memories with at most `capacity` rows, in the order given; merged ones last.
    """
    kept, rows, rest = list[Memory](), 0, list[Evidence]()
    exact = capacity
    for evidence in newest_first:
        rows += len(evidence.seen.context)
        if not rest and rows <= exact:
            kept.append(Memory((evidence.id,), evidence.label, evidence.seen))
            continue
        if not rest:  # it does not fit: what is beyond the share of the newest is merged, as if it had come now
            exact = int(capacity * EXACT_SHARE)
            while kept and sum(len(memory.seen.context) for memory in kept) > exact:
                moved = kept.pop()
                rest.insert(0, Evidence(moved.ids[0], moved.label, moved.seen))
        rest.append(evidence)
        if len(rest) == MOST_MERGED * capacity:
            break
    return kept + _merged(rest, capacity - sum(len(memory.seen.context) for memory in kept)) if rest else kept


def together(parts: Sequence[Seen], label: int) -> Seen:
    """The one row of several pictures with the same label; their views are left out.

    Args:
        parts: what was seen of each, in the order of `Memory.ids`.
        label: of all of them.

    Returns:
        The mean context at unit length, and logits and features of the picture that was furthest from right.
    """
    if len(parts) == 1:
        return parts[0]
    total = np.sum([part.context[0].astype(np.float64) for part in parts], axis=0)
    context = (total / np.linalg.norm(total)).astype(np.float32)
    hardest = parts[int(np.argmax([_need(part, label) for part in parts]))]
    return Seen(hardest.logits[:1], hardest.features[:1], context[None])


def _need(seen: Seen, label: int) -> float:
    """How far the factory is from the right label: the greatest other logit less the label's own; 0 for a class added here."""
    logits = seen.logits[0]
    return float(np.delete(logits, label).max() - logits[label]) if label < len(logits) else 0.0


def _merged(evidence: Sequence[Evidence], most: int) -> list[Memory]:
    """Merge the nearest two of a label until at most `most` rows are left; those that cannot be merged leave oldest first."""
    labels = np.array([e.label for e in evidence])
    contexts = np.stack([e.seen.context[0] for e in evidence]).astype(np.float64)
    heaps = [_Heap(contexts[labels == label], np.flatnonzero(labels == label)) for label in np.unique(labels)]
    for _ in range(len(evidence) - most):
        nearest = max(heaps, key=lambda heap: heap.closest)
        if nearest.closest <= _APART:
            break
        nearest.merge()
    groups = sorted(sorted(group) for heap in heaps for group in heap.groups if group)
    return [_memory([evidence[place] for place in group]) for group in groups[:most]]


class _Heap:
    """The corrections of one label, merged two at a time: which groups there are, and how near the nearest two of them lie."""

    def __init__(self, contexts: NDArray[np.float64], places: NDArray[np.int64]) -> None:
        self.groups = [[int(place)] for place in places]
        self._sums, self._lengths = contexts, np.ones(len(places))
        self._alike = (contexts @ contexts.T).astype(np.float32)
        np.fill_diagonal(self._alike, _APART)
        self._find()

    def merge(self) -> None:
        """Put the nearest two together."""
        one, other = sorted(self._pair)
        self.groups[one] += self.groups[other]
        self.groups[other] = []
        self._sums[one] += self._sums[other]
        self._lengths[one] = np.linalg.norm(self._sums[one])
        self._alike[other], self._alike[:, other] = _APART, _APART
        row = (self._sums @ self._sums[one] / (self._lengths * self._lengths[one])).astype(np.float32)
        row[[place for place, group in enumerate(self.groups) if not group or place == one]] = _APART
        self._alike[one], self._alike[:, one] = row, row
        self._find()

    def _find(self) -> None:
        place = int(self._alike.argmax())
        self._pair = divmod(place, len(self.groups))
        self.closest = float(self._alike[self._pair])


def _memory(group: Sequence[Evidence]) -> Memory:
    label = group[0].label
    first = Seen(group[0].seen.logits[:1], group[0].seen.features[:1], group[0].seen.context[:1])
    seen = first if len(group) == 1 else together([e.seen for e in group], label)
    return Memory(tuple(e.id for e in group), label, seen)
