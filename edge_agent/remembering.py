"""What the head can hold: first the views of the older corrections leave, then the newest stay as they are and the older ones are merged.

Of the corrections of one label the two that lie nearest to each other become one row, again and again, until all fit. A merged row lies at
the mean of its pictures and has the logits of the one that was furthest from right, so it reaches all of them, though not each for certain.
Measured against forgetting the oldest, on streams many times the capacity: more accuracy in the field and more of the old corrections
right (docs/learning.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_agent.head import Evidence
from edge_agent.runtime import Seen

FloatArray = NDArray[np.float32]
EXACT_SHARE = 0.5  # of the rows is for the newest corrections, each on its own, once there are more pictures than rows
MOST_MERGED = 4  # times the capacity: older corrections than that are forgotten, which bounds the work
_APART = -2.0  # below every cosine


class Memory(NamedTuple):
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
        Memories with at most `capacity` rows, in the order given; merged ones last. As many pictures as rows are all kept apart.
    """
    evidence = list(itertools.islice(newest_first, MOST_MERGED * capacity))
    if len(evidence) <= capacity:
        return _with_views_that_fit(evidence, capacity - len(evidence))
    pictures = [_without_views(e) for e in evidence]
    exact = max(1, int(capacity * EXACT_SHARE))
    return [_alone(e) for e in pictures[:exact]] + _merged(pictures[exact:], capacity - exact)


def _with_views_that_fit(newest_first: Sequence[Evidence], spare: int) -> list[Memory]:
    """Every picture, and the views of the newest while there are spare rows for them: a picture is worth more than a view."""
    if all(len(e.seen.context) == 1 for e in newest_first):
        return [_alone(e) for e in newest_first]
    found, fits = [], True
    for e in newest_first:
        views = len(e.seen.context) - 1
        fits = fits and views <= spare
        spare -= views if fits else 0
        found.append(_alone(e if fits else _without_views(e)))
    return found


def unrepeated(evidence: Sequence[Evidence], block_size: int, same_picture: float) -> Iterator[Evidence]:
    """The corrections that no later one of the same picture supersedes, the newest first.

    Args:
        evidence: corrections in the order in which they were made.
        block_size: so many are compared at once; what takes from the iterator usually stops after the first.
        same_picture: two contexts whose cosine is above this are the same picture.

    Yields:
        Those that stand.
    """
    later: FloatArray | None = None
    for end in range(len(evidence), 0, -block_size):
        block = evidence[max(0, end - block_size) : end][::-1]
        contexts = np.concatenate([e.seen.context[:1] for e in block])
        alike = contexts @ contexts.T > same_picture
        stands = np.ones(len(block), bool)
        if later is not None:
            stands[(contexts @ later.T > same_picture).any(axis=1)] = False
        if np.count_nonzero(alike) > np.count_nonzero(alike.diagonal()):
            again = np.tril(alike, -1)
            for place in np.flatnonzero(again.any(1)):  # a picture that came again supersedes nothing itself
                stands[place] &= not (again[place] & stands).any()
        yield from (e for e, stand in zip(block, stands, strict=True) if stand)
        if end > block_size:
            later = contexts[stands] if later is None else np.concatenate([later, contexts[stands]])


def _alone(evidence: Evidence) -> Memory:
    return Memory((evidence.id,), evidence.label, evidence.seen)


def _without_views(evidence: Evidence) -> Evidence:
    seen = evidence.seen
    return Evidence(evidence.id, evidence.label, Seen(seen.logits[:1], seen.features[:1], seen.context[:1]))


def mean_context(contexts: Sequence[FloatArray]) -> FloatArray:
    """Where the row of several pictures lies.

    Args:
        contexts: `[V, K]` of each correction, in the order of `Memory.ids`: the picture's own first, then its views'.

    Returns:
        `[1, K]`, the mean of the pictures, at unit length; the views are left out.
    """
    total = np.sum([context[0].astype(np.float64) for context in contexts], axis=0)
    row: FloatArray = (total / np.linalg.norm(total)).astype(np.float32)[None]
    return row


def _together(parts: Sequence[Seen], label: int) -> Seen:
    """The one row of several pictures: their mean context, and logits and features of the one that was furthest from right."""
    hardest = parts[int(np.argmax([_need(part, label) for part in parts]))]
    return Seen(hardest.logits[:1], hardest.features[:1], mean_context([part.context for part in parts]))


def _need(seen: Seen, label: int) -> float:
    """How far the factory is from the right label: the greatest other logit less the label's own; 0 for a class added here."""
    logits = seen.logits[0]
    return float(np.delete(logits, label).max() - logits[label]) if label < len(logits) else 0.0


def _merged(evidence: Sequence[Evidence], most: int) -> list[Memory]:
    """Merge the nearest two of a label until at most `most` rows are left; those that cannot be merged leave oldest first."""
    if most < 1 or not evidence:
        return []
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
    if len(group) == 1:
        return _alone(group[0])
    return Memory(tuple(e.id for e in group), group[0].label, _together([e.seen for e in group], group[0].label))
