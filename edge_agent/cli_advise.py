"""`edge-agent advise`: is one picture enough, and which ones to teach next."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_agent.advising import Advice


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
@click.pass_obj
def advise(call: Any, as_json: bool) -> None:
    """Measure what the corrections so far are worth, and say what to teach next."""
    advice = call.agent().advise()
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(advice), ensure_ascii=False))
    else:
        _show(advice)


def _show(advice: Advice) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("label", "corrections", "sentinel right", "re-shots right", "right from the others alone"):
        table.add_column(title)
    for row in advice.labels:
        table.add_row(escape(row.label), str(row.corrections), str(row.sentinel), str(row.reshots), str(row.others_alone))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for sentence in advice.sentences:
        console.print(escape(sentence))
