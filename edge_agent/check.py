"""What one check found: frozen data, and the rule that turns faults and thresholds into a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.nagios import Measure, Status, plain_number, worst


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: one of those that `edge-agent health list` prints.
        status: its state.
        detail: one sentence.
        hint: what to do about it; empty when it is OK.
        measures: what was measured, with the thresholds.
    """

    name: str
    status: Status
    detail: str
    hint: str = ""
    measures: tuple[Measure, ...] = ()


@dataclass(frozen=True)
class Fault:
    """Something that is wrong whatever the thresholds say: how bad, what, and what to do about it."""

    status: Status
    detail: str
    hint: str


def conclude(name: str, detail: str, measures: Sequence[Measure], hint: str, faults: Sequence[Fault] = ()) -> Check:
    """The result of a check that could be made.

    Args:
        name: of the check.
        detail: the sentence where all is well.
        measures: their thresholds decide.
        hint: what to do when a threshold is passed.
        faults: what else is wrong, the most important first.

    Returns:
        The worst of all of it; the sentence names what is wrong first.
    """
    passed = [measure for measure in measures if measure.status]
    status = worst([Status.OK, *(fault.status for fault in faults), *(measure.status for measure in passed)])
    wrong = [fault.detail for fault in faults] + [_passed(measure) for measure in passed]
    sentence = f"{'; '.join(wrong)} ({detail})" if wrong else detail
    hints = dict.fromkeys([*(fault.hint for fault in faults), *([hint] if passed else [])])
    return Check(name, status, sentence, "; ".join(filter(None, hints)), tuple(measures))


def readable(value: float, unit: str) -> str:
    """A measured value for people: bytes in kB to GB, seconds in ms."""
    if unit == "B":
        size, prefix = next(((size, prefix) for size, prefix in ((1e9, "GB"), (1e6, "MB")) if value >= size), (1e3, "kB"))
        return f"{value / size:.1f} {prefix}"
    if unit == "s" and abs(value) < 10:
        return f"{value * 1000:.1f} ms"
    return f"{plain_number(float(f'{value:.4g}')) if abs(value) < 1e4 else plain_number(round(value))}{'' if unit == 'c' else unit}"


def _passed(measure: Measure) -> str:
    limit = measure.critical if measure.status is Status.CRITICAL else measure.warning
    wanted = f"good is {limit.text}" if limit else ""
    return f"{measure.name} is {readable(measure.value, measure.unit)}, {wanted}"
