"""`edge-agent migrate`: what was learned, taught again to a new artifact."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_agent.migrating import Migration

_QUIET_S, _LINE_EVERY_S = 2.0, 10.0
MOST_NAMED = 20


@click.command()
@click.option("--from", "source", required=True, metavar="ARTIFACT", help="The artifact that the state belongs to.")
@click.option("--to", "target", required=True, metavar="ARTIFACT", help="The new one.")
@click.option("--state", metavar="DIR", help="The state directory; as before the command.")
@click.option("--dry-run", is_flag=True, help="Do all of it and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
@click.pass_obj
def migrate(call: Any, source: str, target: str, state: str | None, dry_run: bool, as_json: bool) -> None:
    """Teach a new artifact what was learned: each correction from its kept picture, each through the guard.

    Nothing changes until all of it has succeeded, and the old state is kept. Corrections without a picture, or with a label that the new
    artifact has not, are listed and kept as pending: `edge-agent state pending`.
    """
    from edge_agent.artifact import Artifact
    from edge_agent.migrating import migrate_state
    from edge_agent.settings import default_state

    old, new = Artifact.open(source), Artifact.open(target)
    named = state or call.state  # the nearer word counts
    folder = Path(named) if named else default_state(os.environ, old.digest)
    destination = folder if named else default_state(os.environ, new.digest)
    with _progress() as progress:
        done = migrate_state(old, new, folder, destination, call.settings(), dry_run, progress)
    click.echo(json.dumps(dataclasses.asdict(done), ensure_ascii=False)) if as_json else _show(done)


def _show(done: Migration) -> None:
    outcomes = ("accepted", "already_correct", "refused", "pending")
    counts = {name: sum(each.outcome == name for each in done.corrections) for name in outcomes}
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    click.echo(f"{len(done.corrections)} corrections: {words}")
    click.echo(f"sentinel of the new artifact: {done.factory_accuracy:.1%} → {done.accuracy:.1%}")
    if done.labels:
        click.echo(f"classes added: {', '.join(done.labels)}")
    if done.waited:
        click.echo(f"{done.waiting} of {done.waited} pictures still wait for a person")
    left = [each for each in done.corrections if each.outcome in ("refused", "pending")]
    for each in left[:MOST_NAMED]:
        click.echo(f"  {each.outcome} #{each.id} {each.image or '-'}, {each.label}: {each.reason}")
    if len(left) > MOST_NAMED:
        click.echo(f"  and {len(left) - MOST_NAMED} more: --json lists them")
    if done.dry_run:
        click.echo(f"dry run: nothing was changed; the state would be in {done.state}")
    else:
        click.echo(f"the state is in {done.state}; the old one is kept in {done.kept}")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr once it takes longer than two seconds; where stderr is no terminal, a line every ten."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    started, columns = time.monotonic(), (TextColumn("migrating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    display = Progress(*columns, console=Console(stderr=True), transient=True)
    task, said = display.add_task("migrating"), started

    def show(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        display.update(task, completed=done, total=total)
        if now - started < _QUIET_S:
            return
        if sys.stderr.isatty():
            display.start()  # a second time does nothing
        elif now - said >= _LINE_EVERY_S:
            said = now
            click.echo(f"migrating: {done} of {total} corrections", err=True)

    try:
        yield show
    finally:
        if display.live.is_started:
            display.stop()
