"""Is one picture enough? What the journal, the kept pictures and the sentinel say about each label, with its uncertainty.

Three things are measured, none is assumed: how many sentinel pictures of a label the head in use gets right; how many fresh re-shots of the
pictures taught it gets right; and how many of the corrections would be right from the others alone (leave one out), which is what the
lessons are worth for the next mistake of this kind. Each is a count out of a count, and comes with its 95 % interval (Wilson, 1927).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.artifact import Artifact
from edge_agent.correcting import rank
from edge_agent.head import Evidence
from edge_agent.journal import Entry
from edge_agent.keeper import HeadKeeper, Serving
from edge_agent.runtime import Seen

NEWEST = 48  # corrections that are measured; older ones say less about the field of today
RESHOTS = 4
_Z95 = 1.96

Reshoot = Callable[[int, int], Sequence[Seen]]


@dataclass(frozen=True)
class Share:
    """A count out of a count, and the 95 % interval of the share behind it (0…1); the interval is 0…1 where nothing was counted."""

    right: int
    of: int
    low: float
    high: float

    @classmethod
    def counted(cls, right: int, of: int) -> Share:
        """With Wilson's interval."""
        if not of:
            return cls(0, 0, 0.0, 1.0)
        share, z2 = right / of, _Z95**2 / of
        centre, spread = share + z2 / 2, _Z95 * math.sqrt(share * (1 - share) / of + z2 / of / 4)
        return cls(right, of, max(0.0, (centre - spread) / (1 + z2)), min(1.0, (centre + spread) / (1 + z2)))

    def __str__(self) -> str:
        """For example `31 of 40 (64–88 %)`."""
        return f"{self.right} of {self.of} ({self.low:.0%}–{self.high:.0%})" if self.of else "–"


@dataclass(frozen=True)
class LabelAdvice:
    """What is known of one label.

    Attributes:
        label: its name.
        corrections: active ones.
        sentinel: sentinel pictures of it that the head in use gets right.
        reshots: fresh re-shots of its newest corrections that the head gets right; none where no picture was kept.
        others_alone: its newest corrections that would be right had they not been taught, from the others alone.
    """

    label: str
    corrections: int
    sentinel: Share
    reshots: Share
    others_alone: Share


@dataclass(frozen=True)
class Advice:
    """What is known of all labels, and what to do next in plain words.

    Attributes:
        labels: one for each label with a correction or with sentinel pictures.
        reshots: of all labels.
        others_alone: of all labels.
        sentinel: of all labels: the accuracy where pictures are as in training.
        field: pictures that were right when a person named them, of all that a person named: the field's accuracy before each lesson, if
            people name right pictures as readily as wrong ones (`correct --force` records those); mistakes alone cannot tell it.
        sentences: what it means.
    """

    labels: tuple[LabelAdvice, ...]
    reshots: Share
    others_alone: Share
    sentinel: Share
    field: Share
    sentences: tuple[str, ...]


def advise(artifact: Artifact, keeper: HeadKeeper, serving: Serving, history: Sequence[Entry], reshoot: Reshoot) -> Advice:
    """Measure, and say what it means.

    Args:
        artifact: for the sentinel's labels.
        keeper: solves without one correction at a time.
        serving: the head in use.
        history: every correction that was recorded.
        reshoot: given a correction's id and a count, what the backbone sees in so many fresh re-shots; empty where no picture was kept.

    Returns:
        The advice; nothing is changed.

    Raises:
        StateError: the active corrections cannot be read.
        RuntimeUnavailable: the engine cannot be had.

    Cost: one solve and `RESHOTS` passes of the backbone for each of the `NEWEST` corrections.
    """
    evidence = keeper.evidence(serving)
    newest = evidence[-NEWEST:]
    alone = {e.id: _right_without(keeper, serving, evidence, e) for e in newest}
    shots = {e.id: [_is_right(serving, seen, e.label) for seen in reshoot(e.id, RESHOTS)] for e in newest}
    truths, rows = artifact.statistics.sentinel_labels, []
    for place, label in enumerate(serving.labels):
        own, tested = truths == place, [e for e in newest if e.label == place]
        if not own.any() and not tested:
            continue
        fresh = [right for e in tested for right in shots[e.id]]
        rows.append(LabelAdvice(
            label, sum(e.label == place for e in evidence), Share.counted(int(serving.right[own].sum()), int(own.sum())),
            Share.counted(sum(fresh), len(fresh)), Share.counted(sum(alone[e.id] for e in tested), len(tested)),
        ))  # fmt: skip
    everything = [right for rights in shots.values() for right in rights]
    reshots, others = Share.counted(sum(everything), len(everything)), Share.counted(sum(alone.values()), len(alone))
    sentinel = Share.counted(int(serving.right.sum()), len(serving.right))
    named = [entry.was_label == entry.label for entry in history]
    field = Share.counted(sum(named), len(named)) if any(named) else Share.counted(0, 0)
    return Advice(tuple(rows), reshots, others, sentinel, field, _sentences(rows, len(evidence), reshots, others, sentinel, field))


def _right_without(keeper: HeadKeeper, serving: Serving, evidence: Sequence[Evidence], left_out: Evidence) -> bool:
    head = keeper.solve([e for e in evidence if e.id != left_out.id], serving.labels).head
    return rank(head, serving.labels, left_out.seen, 1)[0].label == serving.labels[left_out.label]


def _is_right(serving: Serving, seen: Seen, place: int) -> bool:
    return rank(serving.head, serving.labels, seen, 1)[0].label == serving.labels[place]


def _sentences(
    rows: Sequence[LabelAdvice], corrections: int, reshots: Share, others: Share, sentinel: Share, field: Share
) -> tuple[str, ...]:
    said = [f"Pictures as in training are right in {sentinel}, by the sentinel."]
    if not corrections:
        said.append("Nothing was taught yet: one picture is enough to mend its own case, so teach a mistake when you see one.")
        return tuple(said)
    said.append(f"{corrections} corrections are active; each of their pictures is right, that is what accepted means.")
    if reshots.of:
        said.append(f"Taken again from a little aside, in other light and noise, they are right in {reshots} tries.")
    said.append(f"Of the newest {others.of}, {others.right} would be right from the other lessons alone: so much carries over.")
    if field.of:
        said.append(f"Of the pictures that people named, {field} were right before: the field's accuracy, if they named them at random.")
    else:
        said.append("The field's accuracy cannot be told from mistakes alone: name right pictures too (correct --force) to measure it.")
    said.append("In general one picture is worth hundredths of a point, 10 about one point, 200 two to four (docs/learning.md).")
    weak = sorted((row for row in rows if row.sentinel.of), key=lambda row: row.sentinel.high)[:2]
    names = " and ".join(f"{row.label} ({row.sentinel} of its sentinel pictures right)" for row in weak)
    said.append(f"The weakest labels, where more pictures bring most: {names}.")
    return tuple(said)
