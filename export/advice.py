"""What to train, by the rule and by what was measured.

The rule: few samples and many parameters, freeze; many samples or few parameters, fine-tune; very many samples, train from scratch. Its
thresholds are rough, so a measurement that could be made in time counts for more: of the candidates whose accuracy is within one standard
error of the best, the one that trains least is recommended (the one-standard-error rule, Breiman et al., 1984).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PARAMETERS_PER_SAMPLE = 1_000  # to fine-tune: more parameters than this for each sample, and the samples are few
SCRATCH_PARAMETERS_PER_SAMPLE = 20  # from scratch
SCRATCH_PER_CLASS = 1_000
NOTHING, SCRATCH = "nothing", "all, from scratch"


@dataclass(frozen=True)
class Row:
    """One candidate.

    Attributes:
        name: "nothing", "head", "head and …", "all" or "all, from scratch".
        options: for `edge-export build`.
        parameters: how many it trains.
        accuracy: mean over the folds, 0…1; None where it was not measured.
        deviation: over the folds.
        folds: how many were measured.
        seconds: what measuring took; where it was not measured, what it would take.
        why_not: why it was not measured, or None.
    """

    name: str
    options: tuple[str, ...]
    parameters: int
    accuracy: float | None
    deviation: float | None
    folds: int
    seconds: float
    why_not: str | None = None

    @property
    def error(self) -> float:
        """Standard error of the accuracy."""
        return (self.deviation or 0.0) / math.sqrt(max(1, self.folds))


@dataclass(frozen=True)
class Advice:
    """The table and what follows from it.

    Attributes:
        model: name of the network.
        parameters: how many it has.
        samples: pictures that the rule counts: all of `--data`.
        measured_on: pictures of them that were measured on.
        per_class: label → its pictures.
        rows: the candidates, from nothing to everything.
        rule: name of the row that the rule names.
        recommended: name of the row that is recommended.
        reason: why, in plain words.
    """

    model: str
    parameters: int
    samples: int
    measured_on: int
    per_class: dict[str, int]
    rows: tuple[Row, ...]
    rule: str
    recommended: str
    reason: str

    @property
    def row(self) -> Row:
        """The recommended candidate."""
        return next(row for row in self.rows if row.name == self.recommended)


def by_rule(rows: Sequence[Row], samples: int, least_per_class: int) -> Row:
    """The candidate that the rule names.

    Args:
        rows: from the fewest to the most parameters, "all, from scratch" last.
        samples: how many pictures there are.
        least_per_class: of the label that has the fewest.
    """
    scratch = rows[-1]
    many = samples * SCRATCH_PARAMETERS_PER_SAMPLE >= scratch.parameters and least_per_class >= SCRATCH_PER_CLASS
    if scratch.name == SCRATCH and many:
        return scratch
    affordable = [row for row in rows if row.name != SCRATCH and row.parameters <= samples * PARAMETERS_PER_SAMPLE]
    return affordable[-1] if affordable else rows[0]


def recommend(rows: Sequence[Row], samples: int, classes: int, least_per_class: int) -> tuple[str, str, str]:
    """What to train, and why.

    Args:
        rows: as for `by_rule`.
        samples: how many pictures there are.
        classes: how many labels.
        least_per_class: of the label that has the fewest.

    Returns:
        The row of the rule, the row that is recommended, and the reason in plain words.
    """
    rule = by_rule(rows, samples, least_per_class)
    said = f"{samples:,} samples of {classes} labels: {_rule_words(rule, rows, samples)}"
    measured = [row for row in rows if row.accuracy is not None]
    if len(measured) < 2:
        return rule.name, rule.name, f"{said}. Nothing beside it was measured, so this rests on the rule alone: give more --minutes."
    best = max(measured, key=lambda row: row.accuracy or 0.0)
    chosen = next(row for row in measured if (row.accuracy or 0.0) >= (best.accuracy or 0.0) - best.error)
    words = (f"{_measured_words(chosen, best, measured)}.", f"{_agreement(rule, chosen)} {said}.", *_open(chosen, rows))
    return rule.name, chosen.name, " ".join(words)


def _rule_words(rule: Row, rows: Sequence[Row], samples: int) -> str:
    """The rule in numbers."""
    ratio = f"{rule.parameters:,} parameters of {rule.name!r} are {_per(rule.parameters, samples)}"
    if rule.name == SCRATCH:
        return f"very many for {rule.parameters:,} parameters, so train from scratch"
    larger = next((row for row in rows if row.parameters > rule.parameters and row.name != SCRATCH), None)
    if larger is None:
        return f"many, since the {ratio}: fine-tune all of it"
    more = f"the {larger.parameters:,} of {larger.name!r} would be {_per(larger.parameters, samples)}, too many: freeze the rest"
    return f"{'train nothing' if not rule.parameters else f'enough for {rule.name!r}, since the {ratio}'}; {more}"


def _per(parameters: int, samples: int) -> str:
    return f"{parameters / max(1, samples):,.0f} for each sample"


def _measured_words(chosen: Row, best: Row, measured: Sequence[Row]) -> str:
    points = f"{100 * (chosen.accuracy or 0.0):.1f} % right"
    if chosen is best:
        others = [row for row in measured if row is not best]
        second = max(others, key=lambda row: row.accuracy or 0.0)
        gained = 100 * ((best.accuracy or 0.0) - (second.accuracy or 0.0))
        return f"Measured: {chosen.name!r} is best with {points}, {gained:.1f} points before {second.name!r}"
    gap = 100 * ((best.accuracy or 0.0) - (chosen.accuracy or 0.0))
    return (
        f"Measured: {chosen.name!r} has {points}, {gap:.1f} points behind {best.name!r}, which trains {best.parameters:,} parameters; "
        f"that is within the chance of these folds ({100 * best.error:.1f} points), so train less"
    )


def _agreement(rule: Row, chosen: Row) -> str:
    if rule.name == chosen.name:
        return "The rule agrees:"
    return f"The rule alone would have said {rule.name!r}, and what was measured counts for more:"


def _open(chosen: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """What was not measured, and trains more than what was chosen."""
    missing = [row.name for row in rows if row.accuracy is None and row.parameters > chosen.parameters]
    return (f"Not measured, and perhaps better: {', '.join(missing)}.",) if missing else ()
