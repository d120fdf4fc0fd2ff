"""The guard: a candidate head is judged on the sentinel set before it may serve.

It is the seat belt for damaged statistics, odd networks and poisoned teaching. It cannot see a wrong label: that harm is local, and
undo is there for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_agent.artifact import Artifact
from edge_agent.head import NOT_IN_USE, Head
from edge_agent.new_class import CLAIM
from edge_agent.runtime import Seen
from edge_agent.settings import Settings

_ROUNDING = 1e-9  # 0.835 − 0.05 is not 0.785 for a computer: a loss of just what is allowed must not depend on that


@dataclass(frozen=True)
class SentinelReport:
    """What a candidate does to the sentinel set.

    Attributes:
        size: sentinel pictures; a change below 1/size cannot be seen.
        before: accuracy of the head in use (0…1).
        after: accuracy of the candidate (0…1).
        tolerance: greatest loss that one correction may bring (0…1).
        factory: accuracy of the factory head (0…1).
        broken: pictures that were right before and would be wrong.
        mended: pictures that were wrong before and would be right.
    """

    size: int
    before: float
    after: float
    tolerance: float
    factory: float
    broken: int
    mended: int


@dataclass(frozen=True)
class Judgement:
    """Whether a candidate may serve, why not, and the measurement; `right` `[Q]` are the sentinel pictures that it gets right."""

    accepted: bool
    reason: str
    sentinel: SentinelReport
    right: NDArray[np.bool_] = field(repr=False, compare=False)


class Guard:
    """Judges heads of one artifact; pure but for the arrays that it holds."""

    def __init__(self, artifact: Artifact, settings: Settings) -> None:
        """Take the sentinel set and the tolerances.

        Args:
            artifact: opened.
            settings: `guard_drop` and `guard_total`.
        """
        statistics = artifact.statistics
        self._sentinel = Seen(statistics.sentinel_logits, statistics.sentinel_features, statistics.sentinel_context)
        self._labels = statistics.sentinel_labels
        self._drop, self._total = settings.guard_drop, settings.guard_total
        self._factory = float((statistics.sentinel_logits.argmax(1) == self._labels).mean())

    def right(self, head: Head) -> NDArray[np.bool_]:
        """`[Q]`: which sentinel pictures the head gets right."""
        answer: NDArray[np.bool_] = head.logits(self._sentinel).argmax(1) == self._labels
        return answer

    def judge(self, in_use: NDArray[np.bool_], candidate: Head, teaches_new: bool = False) -> Judgement:
        """Accept when accuracy stays within the tolerances.

        Args:
            in_use: `right` of the head in use.
            candidate: the head that would replace it.
            teaches_new: whether the correction is of a class added on the device. Such a class may win `CLAIM` of the sentinel, and it
                can only win what other classes had: that much is allowed on top, once for this correction and once for each class.

        Returns:
            Accepted when accuracy ≥ before − drop, and ≥ factory − total or ≥ before.
        """
        right = self.right(candidate)
        size, was, now, both = len(right), *(int(np.count_nonzero(kept)) for kept in (in_use, right, in_use & right))
        before, after, broken, mended = was / size, now / size, was - both, now - both
        drop = self._drop + (CLAIM if teaches_new else 0)
        total = self._total + CLAIM * int(np.count_nonzero(candidate.added.bias > NOT_IN_USE))
        report = SentinelReport(size, before, after, drop, self._factory, broken, mended)
        least = was - _pictures(drop, size)
        least_in_all = round(self._factory * size) - _pictures(total, size)
        if now >= least and (now >= least_in_all or now >= was):
            return Judgement(True, f"{broken} of {report.size} sentinel pictures broken, {mended} mended", report, right)
        limit = f"{drop:.1%} by one correction, {total:.1%} in all"
        change = f"accuracy {before:.1%} → {after:.1%}, allowed is a loss of {limit}"
        reason = f"it would break {broken} of {report.size} sentinel pictures: {change}"
        return Judgement(False, reason, report, right)


def _pictures(share: float, size: int) -> int:
    """How many of `size` pictures a share of them is at most, whatever the last digit of the share."""
    return math.floor((share + _ROUNDING) * size)
