"""Health: a list of checks → the worst state. Nothing is written, no writer's lock is taken; what is broken is reported, not raised."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from edge_agent import __version__
from edge_agent.check import Check
from edge_agent.checks_machine import check_clock, check_disk, check_memory
from edge_agent.checks_model import check_artifact, check_golden, check_latency, check_runtime
from edge_agent.checks_state import check_corrections, check_head, check_queue, check_sentinel, check_state
from edge_agent.errors import EdgeAgentError, StateBusyError
from edge_agent.health_settings import HealthSettings
from edge_agent.nagios import SEVERITY, Measure, Range, Status, status_line, worst
from edge_agent.settings import Settings
from edge_agent.subject import PartFailed, Running, Subject

__all__ = ["Check", "HealthReport", "Running", "examine"]

_CHECKS: dict[str, Callable[[Subject], Check]] = {
    "artifact": check_artifact, "runtime": check_runtime, "state": check_state, "head": check_head, "sentinel": check_sentinel,
    "golden": check_golden, "latency": check_latency, "corrections": check_corrections, "queue": check_queue, "disk": check_disk,
    "memory": check_memory, "clock": check_clock,
}  # fmt: skip


@dataclass(frozen=True)
class HealthReport:
    """What the checks found.

    Attributes:
        checks: one for each check that ran, in the order of `edge-agent health list`.
        facts: what was examined, in words: version, model, artifact, ONNX Runtime, provider, engine, as far as it could be found.
        elapsed_ms: how long it took.
    """

    checks: tuple[Check, ...]
    facts: dict[str, str]
    elapsed_ms: float

    @property
    def status(self) -> Status:
        """The worst of the checks; UNKNOWN where none ran."""
        return worst(check.status for check in self.checks)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Everything that was measured."""
        return tuple(measure for check in self.checks for measure in check.measures)

    def line(self) -> str:
        """One line for a monitor, with performance data: what is wrong first, the worst before the rest."""
        wrong = sorted((check for check in self.checks if check.status), key=lambda check: -SEVERITY.index(check.status))
        said = [f"{check.name} {check.status.name}: {check.detail}" for check in wrong]
        fine = [check.name for check in self.checks if not check.status]
        text = "; ".join([*said, f"{', '.join(fine)} OK"] if fine else said)
        return status_line(self.status, text, self.measures)

    def as_json(self) -> dict[str, object]:
        """The keys of `health --json`."""
        checks = [_check_json(check) for check in self.checks]
        return {"status": self.status.name, "checks": checks, "facts": self.facts, "elapsed_ms": self.elapsed_ms}


def examine(
    path: str | os.PathLike[str],
    state: str | os.PathLike[str] | None,
    settings: Settings,
    health: HealthSettings,
    running: Running | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    note: Callable[[str], None] = lambda name: None,
    isolated: bool = False,
) -> HealthReport:
    """Run the checks.

    Args:
        path: the artifact.
        state: the state directory, or None for the default one.
        settings: of the agent.
        health: which checks, and their thresholds.
        running: the agent's own parts, where there is one.
        now: the clock.
        note: told the name of each check before it runs.
        isolated: whether this process may die without harm to anybody: an artifact's first load then needs none of its own.

    Returns:
        The report, whatever is broken.
    """
    started = time.perf_counter()
    subject = Subject(path, state, settings, health, now, running, isolated)
    checks: dict[str, Check] = {}
    try:
        for name in health.checks:
            note(name)
            checks[name] = _result(name, subject, checks)
        facts = {"version": __version__, **subject.facts()}
    finally:
        subject.close()
    return HealthReport(tuple(checks.values()), facts, (time.perf_counter() - started) * 1000)


def _result(name: str, subject: Subject, before: dict[str, Check]) -> Check:
    """One check; a broken part is red once, in the check that answers for it, and the others say that they could not be made."""
    try:
        return _CHECKS[name](subject)
    except PartFailed as failed:
        answers = before.get(failed.part)
        if answers is not None and answers.status:
            return Check(name, Status.UNKNOWN, f"not checked: {failed.part} is {answers.status.name}", f"mend {failed.part} first")
        return _failed(name, failed.error)
    except EdgeAgentError as error:
        return _failed(name, error)
    except Exception as error:  # a fault of the check itself says nothing about the agent
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Check(name, Status.UNKNOWN, f"the check itself failed: {text}", "report this, with the output of edge-agent info")


def _failed(name: str, error: EdgeAgentError) -> Check:
    if isinstance(error, StateBusyError):
        return Check(name, Status.UNKNOWN, error.message, error.hint)
    if isinstance(error.__context__, PermissionError):  # this user may not look; the agent's may be able to
        return Check(name, Status.UNKNOWN, error.message, "run it as the user of the agent, or let this one read")
    return Check(name, Status.CRITICAL, error.message, error.hint)


def _check_json(check: Check) -> dict[str, object]:
    measures = [_measure_json(measure) for measure in check.measures]
    return {"name": check.name, "status": check.status.name, "detail": check.detail, "hint": check.hint, "measures": measures}


def _measure_json(measure: Measure) -> dict[str, object]:
    def text(limit: Range | None) -> str | None:
        return None if limit is None else limit.text

    finite = measure.value if abs(measure.value) < float("inf") else None
    limits = {"warning": text(measure.warning), "critical": text(measure.critical)}
    return {"name": measure.name, "value": finite, "unit": measure.unit, **limits, "status": measure.status.name}
