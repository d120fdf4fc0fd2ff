"""The Nagios plugin convention: states, ranges, performance data and the line that a monitor reads.

Source: Monitoring Plugins Development Guidelines, sections "Plugin Output for Nagios" and "Plugin Return Codes".
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from edge_agent.errors import UsageError

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(rf"(@)?(?:(~|{_NUMBER})?(:))?({_NUMBER})?", re.ASCII)


class Status(enum.IntEnum):
    """The four states; the value is the exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


SEVERITY = (Status.OK, Status.UNKNOWN, Status.WARNING, Status.CRITICAL)


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of several states: CRITICAL before WARNING before UNKNOWN before OK; UNKNOWN where there is none."""
    return max(statuses, key=SEVERITY.index, default=Status.UNKNOWN)


@dataclass(frozen=True)
class Range:
    """A range of good values.

    `10` is 0 to 10, `10:` at least 10, `~:10` at most 10, `10:20` between them, `@10:20` not between them; both ends are good values
    without the `@`, and bad ones with it.

    Attributes:
        text: as it was written.
        low, high: its ends.
        inverted: whether values inside are bad.
    """

    text: str
    low: float
    high: float
    inverted: bool

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range.

        Args:
            text: in the syntax of Nagios.

        Returns:
            The range.

        Raises:
            UsageError: it is not a range.
        """
        text = text.strip()
        found = _RANGE.fullmatch(text)
        if found is None or not (found[2] or found[4]):
            raise UsageError(f"{text!r} is not a range", "write 10, 10:, ~:10, 10:20 or @10:20")
        low = 0.0 if found[2] is None else -math.inf if found[2] == "~" else float(found[2])
        high = math.inf if found[4] is None else float(found[4])
        if low > high:
            raise UsageError(f"the range {text!r} begins above its end", "write the lower number first; ~:10 is at most 10")
        return cls(text, low, high, found[1] is not None)

    @classmethod
    def at_most(cls, value: float) -> Range:
        """Values above `value` are bad."""
        return cls(f"~:{plain_number(value)}", -math.inf, value, False)

    @classmethod
    def at_least(cls, value: float) -> Range:
        """Values below `value` are bad."""
        return cls(f"{plain_number(value)}:", value, math.inf, False)

    def alerts(self, value: float) -> bool:
        """Whether a value is bad; NaN always is."""
        return math.isnan(value) or (self.low <= value <= self.high) == self.inverted


@dataclass(frozen=True)
class Measure:
    """One number that a check measured.

    Attributes:
        name: its label in the performance data, and its name on the command line.
        value: in base units.
        unit: "s", "B", "c" (a counter that only grows) or "" (a count or a ratio).
        warning, critical: ranges of good values, or None.
    """

    name: str
    value: float
    unit: str = ""
    warning: Range | None = None
    critical: Range | None = None

    @property
    def status(self) -> Status:
        """What its ranges make of it."""
        if self.critical is not None and self.critical.alerts(self.value):
            return Status.CRITICAL
        return Status.WARNING if self.warning is not None and self.warning.alerts(self.value) else Status.OK


def plain_number(value: float) -> str:
    """Decimal digits without an exponent, nine of them significant; U for what is not a number."""
    if not math.isfinite(value):
        return "U"
    if value == int(value):
        return str(int(value))
    return format(Decimal(f"{value:.9g}"), "f")


def performance_data(measures: Iterable[Measure]) -> str:
    """`label=value[unit];[warning];[critical]` for each measure, separated by spaces; empty fields at the end are left out."""
    return " ".join(_performance(measure) for measure in measures)


def status_line(status: Status, text: str, measures: Iterable[Measure] = ()) -> str:
    """`EDGE-AGENT OK - text | performance data`, on one line and without a second `|`."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).replace("|", "/").split())
    performance = performance_data(measures)
    return f"EDGE-AGENT {status.name} - {clean}" + (f" | {performance}" if performance else "")


def _performance(measure: Measure) -> str:
    value = plain_number(measure.value)
    fields = [f"{measure.name}={value}{measure.unit if value != 'U' else ''}"]
    fields += [limit.text if limit else "" for limit in (measure.warning, measure.critical)]
    return ";".join(fields).rstrip(";")
