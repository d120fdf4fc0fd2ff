"""How people see advice: the samples, the table, what to do, the reason and the command."""

from __future__ import annotations

import shlex

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from export.advice import Advice, Row

SHOWN = 12  # labels


def show_advice(advice: Advice) -> None:
    """Print it on stdout."""
    console = Console(highlight=False, soft_wrap=False)
    counts = sorted(advice.per_class.items(), key=lambda entry: (entry[1], entry[0]))
    shown = ", ".join(f"{label} {count:,}" for label, count in counts[:SHOWN]) + (", …" if len(counts) > SHOWN else "")
    measured = "" if advice.measured_on == advice.samples else f", {advice.measured_on:,} of them measured on"
    sizes = f"{advice.parameters:,} parameters; {advice.samples:,} samples{measured}"
    console.print(f"[bold]{escape(advice.model)}[/bold]: {sizes}", soft_wrap=True)
    console.print(f"samples per label: {escape(shown)}", soft_wrap=True)
    console.print(_table(advice))
    for row in advice.rows:
        if row.why_not is not None:
            console.print(f"{escape(row.name)}: not measured: {escape(row.why_not)}", soft_wrap=True)
    console.print(f"[bold green]train {escape(advice.recommended)}[/bold green]: {escape(advice.reason)}", soft_wrap=True)
    console.print(f"edge-export build … {escape(shlex.join(advice.row.options))}".rstrip(), soft_wrap=True)


def _table(advice: Advice) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("what is trained", overflow="fold")
    for heading in ("parameters", "samples per parameter", "accuracy", "time"):
        table.add_column(heading, justify="right")
    for row in advice.rows:
        style = "bold green" if row.name == advice.recommended else ""
        ratio = _ratio(advice.samples, row.parameters)
        table.add_row(escape(row.name), f"{row.parameters:,}", ratio, _accuracy(row), _time(row), style=style)
    return table


def _ratio(samples: int, parameters: int) -> str:
    return "–" if not parameters else f"{samples / parameters:.2g}" if samples / parameters < 100 else f"{samples / parameters:,.0f}"


def _accuracy(row: Row) -> str:
    if row.accuracy is None or row.deviation is None:
        return "not measured"
    return f"{100 * row.accuracy:.1f} ± {100 * row.deviation:.1f} %"


def _time(row: Row) -> str:
    about = "" if row.accuracy is not None else "about "
    return f"{about}{row.seconds:.0f} s" if row.seconds < 90 else f"{about}{row.seconds / 60:.0f} min"
