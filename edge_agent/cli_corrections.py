"""`edge-agent corrections`: what was taught here, for the workstation that builds the next artifact."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_agent.corrections_folder import Exported

MOST_NAMED = 10


@click.group()
def corrections() -> None:
    """The corrections made here, to take home."""


@corrections.command("export")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--device", metavar="NAME", help="What the list calls this device; default: the machine's name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
@click.pass_obj
def corrections_export(call: Any, directory: Path, device: str | None, as_json: bool) -> None:
    """Write pictures, labels and verdicts into a new directory, for `edge-export build --corrections DIR`."""
    done = call.agent().export_corrections(directory, device)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done), ensure_ascii=False))
    else:
        _show(done)


def _show(done: Exported) -> None:
    click.echo(f"{done.directory}: {done.corrections} corrections, {done.pictures} pictures, {done.used} of them to learn from")
    for label, count in done.labels.items():
        click.echo(f"  {label}: {count}")
    if done.without_picture:
        numbers = ", ".join(f"#{number}" for number in done.without_picture[:MOST_NAMED])
        more = ", …" if len(done.without_picture) > MOST_NAMED else ""
        click.echo(f"without a picture, since the settings kept none: {numbers}{more}")
