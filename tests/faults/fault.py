"""What a row of the fault plan is, and what came of it; each row's module has one or more in `FAULTS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MOST_NAMED = 20


@dataclass(frozen=True)
class Outcome:
    """What came of a row.

    Attributes:
        trials: how many were really made; never fewer than asked for.
        failures: one sentence each, with the seed or number that makes it happen again; empty where the row holds.
        facts: what else was measured, for the report.
    """

    trials: int
    failures: tuple[str, ...] = ()
    facts: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A row of the plan, or the part of one that this module proves.

    Attributes:
        id: "D1", or "D4-state" where a row has two halves.
        what: the fault, in words.
        must_hold: what is asserted.
        trial: what one trial is, in the singular.
        pr, night: how many trials `make test` and `make faults` make.
        run: (trials, seed, an empty folder) → what came of it; it finds failures and does not raise.
    """

    id: str
    what: str
    must_hold: str
    trial: str
    pr: int
    night: int
    run: Callable[[int, int, Path], Outcome]
