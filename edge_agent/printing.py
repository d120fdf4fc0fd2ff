"""How people see the answers: a line or a small table, in colour on a terminal, plain in a pipe."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge_agent.check import readable
from edge_agent.guard import SentinelReport
from edge_agent.health import HealthReport
from edge_agent.queue import Offer
from edge_agent.recorded import Recorded
from edge_agent.results import Correction, Prediction, Ranked, Undo

COLOURS = {"accepted": "green", "already_correct": "cyan", "refused": "red"}
STATE_COLOURS = {"OK": "green", "WARNING": "yellow", "CRITICAL": "red", "UNKNOWN": "magenta"}


def show_prediction(seen: Prediction, offer: Offer | None = None) -> None:
    """One line: the picture, its label, and the runners-up; and one more where it waits for a person, and why."""
    others = "".join(f"  [dim]{_ranked(other)}[/dim]" for other in seen.top[1:] if other.probability >= 0.005)
    _print(f"{escape(seen.image or '-')}  [bold]{_ranked(seen.top[0])}[/bold]{others}")
    if offer is not None and offer.kept:
        _print(f"  waits in the queue: {escape(offer.reason)}")


def show_correction(done: Correction) -> None:
    """The verdict, the change, and what the sentinel says."""
    number = f"#{done.id} " if done.id is not None else ""
    colour = COLOURS[done.verdict]
    _print(f"{number}[{colour}]{done.verdict.replace('_', ' ')}[/{colour}]  {_ranked(done.was)} → [bold]{_ranked(done.now)}[/bold]")
    _print(f"{escape(done.reason)}")
    _print(f"[dim]{_sentinel(done.sentinel)}; {done.steps} steps, {done.elapsed_ms:.1f} ms[/dim]")
    if done.id is not None and done.verdict != "refused":
        _print(f"[dim]take it back with: edge-agent undo {done.id}[/dim]")


def show_undo(done: Undo) -> None:
    """Which corrections went, and the head that serves now."""
    numbers = ", ".join(f"#{number}" for number in done.ids)
    _print(f"took back {numbers}; {done.active} corrections remain; head {done.generation} is {done.head_sha256[:16]}")


def show_history(entries: Sequence[Recorded]) -> None:
    """A table, the last correction at its end."""
    if not entries:
        _print("no corrections yet")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "time", "picture", "was", "label", "verdict", "sentinel", ""):
        table.add_column(title, overflow="fold", no_wrap=title in ("id", "time", "verdict"))
    for entry in entries:
        colour = COLOURS[entry.verdict]
        sentinel = f"{entry.sentinel.before:.1%} → {entry.sentinel.after:.1%}"
        verdict = f"[{colour}]{entry.verdict.replace('_', ' ')}{' (forced)' if entry.forced else ''}[/{colour}]"
        texts = [escape(text) for text in (_short(entry.image or "-"), entry.was_label, entry.label)]
        table.add_row(str(entry.id), entry.made_at[:19], *texts, verdict, sentinel, _standing(entry))
    Console(emoji=False).print(table)


def _short(image: str) -> str:
    """A path's file and the folder that it lies in: the whole of it leaves a terminal no room; `--json` has it."""
    return "/".join(image.replace("\\", "/").split("/")[-2:])


def _standing(entry: Recorded) -> str:
    others = ", ".join(f"#{number}" for number in entry.together_with)
    words = {"acting": "", "merged": f"merged with {others}", "refused": "not learned", "not_needed": "not learned"}
    return words.get(entry.standing, entry.standing)


def health_table(report: HealthReport, colour: bool, width: int) -> str:
    """A table of the checks, with what was measured, and below it what to do.

    Args:
        report: of `EdgeAgent.health`.
        colour: whether the reader is a terminal.
        width: its columns.

    Returns:
        The text, without a newline at its end.
    """
    console = Console(file=io.StringIO(), force_terminal=colour, no_color=not colour, width=max(width, 60), highlight=False)
    table = Table(box=None, pad_edge=False)
    for title in ("check", "state", "measured", "detail"):
        table.add_column(title, overflow="fold")
    for check in report.checks:
        measured = "\n".join(f"{measure.name} {readable(measure.value, measure.unit)}" for measure in check.measures)
        table.add_row(check.name, _state(check.status.name), escape(measured), escape(check.detail))
    console.print(table)
    for check in report.checks:
        if check.hint:
            console.print(f"[bold]{check.name}[/bold]: {escape(check.hint)}")
    console.print(f"{_state(report.status.name)} in {report.elapsed_ms:.0f} ms")
    return str(console.file.getvalue()).rstrip("\n")  # type: ignore[attr-defined]


def _state(name: str) -> str:
    return f"[{STATE_COLOURS[name]}]{name}[/{STATE_COLOURS[name]}]"


def _ranked(ranked: Ranked) -> str:
    return f"{escape(ranked.label)} {ranked.probability:.1%}"


def _sentinel(report: SentinelReport) -> str:
    change = f"{report.before:.1%} → {report.after:.1%}"
    return f"sentinel of {report.size}: {change} (a change below {1 / report.size:.1%} cannot be seen)"


def _print(text: str) -> None:
    Console(highlight=False, soft_wrap=True, emoji=False).print(text)
