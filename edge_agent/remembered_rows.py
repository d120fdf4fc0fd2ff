"""The remembered rows in the order that only the content decides, kept from one correction to the next.

What is kept is no more than what would be found again: a correction beside those that were there before becomes one more block of rows
among theirs, where it is certain that no picture came twice and that everything fits. Else all is worked out anew.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from edge_agent.head import Evidence, FloatArray
from edge_agent.remembering import Memory, memories, unrepeated

Key = tuple[bytes, int]


@dataclass(frozen=True, eq=False)
class Rows:
    """What a solve takes from the evidence alone.

    Attributes:
        evidence: the corrections, as they were given.
        memories: what is remembered of them, in canonical order.
        keys: by which they are in order.
        labels: `[n]`, of each row.
        logits: `[n, C]`, the network's own.
        contexts: `[n, K]`.
        pictures: `[m, K]`, contexts of the pictures without their views, in any order; None unless every correction stands as it is and
            all of them are surely different pictures: then one more can be put among them.
    """

    evidence: tuple[Evidence, ...]
    memories: tuple[Memory, ...]
    keys: tuple[Key, ...]
    labels: NDArray[np.int64]
    logits: FloatArray
    contexts: FloatArray
    pictures: FloatArray | None


class RememberedRows:
    """Finds the rows of a set of corrections; not for two threads at once."""

    def __init__(self, capacity: int, same_picture: float, directions: int) -> None:
        """Take the limits.

        Args:
            capacity: rows in all.
            same_picture: two contexts whose cosine is above this are the same picture.
            directions: `K`, of a context.
        """
        self._capacity, self._same_picture = capacity, same_picture
        # The sum of K products of two vectors of length 1 is within K·2⁻²⁴ of what it should be, however it is summed; four times that.
        self._surely_another = same_picture - directions * 2.0**-22
        self._kept: tuple[Rows, ...] = ()

    def of(self, evidence: Sequence[Evidence]) -> Rows:
        """The rows of some corrections, one or more, in any order.

        Most often they are those of the last call and a new one, or, where that was not written, those of the last but its newest.
        """
        before, newest = tuple(evidence[:-1]), evidence[-1]
        kept = next((rows for rows in self._kept if rows.evidence == before), None)  # by identity: evidence never changes
        found = kept and self._with(kept, newest)
        rows = found or self._all(tuple(evidence))
        self._kept = (kept, rows) if kept and found else (rows,)
        return rows

    def _with(self, rows: Rows, newest: Evidence) -> Rows | None:
        """One more correction among those that are there, or None where that may not be all."""
        seen = newest.seen
        added, picture = len(seen.context), seen.context[:1]
        if rows.pictures is None or len(rows.labels) + added > self._capacity:
            return None
        if np.maximum.reduce(rows.pictures @ picture[0]) > self._surely_another:
            return None
        memory = Memory((newest.id,), newest.label, seen)
        key = _key(memory)
        place = bisect(rows.keys, key)
        without_views = rows.pictures is rows.contexts
        row = place if without_views else sum(len(each.seen.context) for each in rows.memories[:place])
        contexts = np.concatenate((rows.contexts[:row], seen.context, rows.contexts[row:]))
        return Rows(
            (*rows.evidence, newest),
            (*rows.memories[:place], memory, *rows.memories[place:]),
            (*rows.keys[:place], key, *rows.keys[place:]),
            np.concatenate((rows.labels[:row], (newest.label,) * added, rows.labels[row:])),
            np.concatenate((rows.logits[:row], seen.logits, rows.logits[row:])),
            contexts,
            contexts if without_views and added == 1 else np.concatenate((rows.pictures, picture)),
        )

    def _all(self, evidence: tuple[Evidence, ...]) -> Rows:
        """Worked out anew."""
        in_time = sorted(evidence, key=attrgetter("id"))
        kept = sorted(memories(unrepeated(in_time, self._capacity, self._same_picture), self._capacity), key=_key)
        counts = [len(memory.seen.context) for memory in kept]
        labels = np.array([memory.label for memory, count in zip(kept, counts, strict=True) for _ in range(count)])
        logits, contexts = (np.concatenate([getattr(memory.seen, name) for memory in kept]) for name in ("logits", "context"))
        are_all = len(labels) == sum(len(each.seen.context) for each in evidence)
        pictures = contexts if len(kept) == len(labels) else np.concatenate([memory.seen.context[:1] for memory in kept])
        can_grow = are_all and self._surely_different(pictures)
        return Rows(evidence, tuple(kept), tuple(map(_key, kept)), labels, logits, contexts, pictures if can_grow else None)

    def _surely_different(self, pictures: FloatArray) -> bool:
        """Whether no two of some pictures can be the same one, however their products are rounded."""
        alike = pictures @ pictures.T
        np.fill_diagonal(alike, -1)
        return bool(alike.max() <= self._surely_another)


def _key(memory: Memory) -> Key:
    return memory.seen.context.tobytes(), memory.label
