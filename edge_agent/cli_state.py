"""`edge-agent state`: look after what the device remembers: check it, make it small, take a copy, put a copy back."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_agent.artifact import Artifact

DAMAGED = 73
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")


@click.group("state")
def state() -> None:
    """What the device remembers: check it, make it small, take a copy, put a copy back."""


@state.command("check")
@click.option("--no-solve", is_flag=True, help="Only read: do not solve the head again, for which the engine is started.")
@json_option
@click.pass_obj
def state_check(call: Any, no_solve: bool, as_json: bool) -> int:
    """Read every byte of the state: digests, SQLite's integrity, and whether the corrections give the head in use.

    Exit codes: 0 it is sound, 73 it is damaged or lost, or there is none; 66 and 69 where artifact or engine cannot be had.
    """
    from edge_agent.state_check import check_state

    artifact, folder = _artifact_and_folder(call)
    found = check_state(folder, call.settings(), None if no_solve else artifact)
    if as_json:
        click.echo(_line(found))
    else:
        counts = f"{found.corrections} corrections, {found.active} in force, {found.pictures} pictures, {found.generations} heads"
        click.echo(f"{found.state}: {'sound' if found.sound else 'damaged'}; {found.size_bytes} bytes, {counts}; head {found.head}")
        for finding in found.findings:
            click.echo(f"  {finding}")
        if not found.sound:
            click.echo("keep a copy of the directory; edge-agent state export --salvage saves what is sound")
    return 0 if found.sound else DAMAGED


@state.command("compact")
@json_option
@click.pass_obj
def state_compact(call: Any, as_json: bool) -> None:
    """Drop what the settings do not keep any more, and give its room back to the disk. Nothing that acts is dropped."""
    from edge_agent.journal import Journal
    from edge_agent.state_compacting import compact_state

    artifact, folder = _artifact_and_folder(call)
    done = compact_state(folder, Journal(folder, artifact.digest, call.settings(), lambda: datetime.now(timezone.utc)))
    dropped = f"{done.pictures} pictures and {done.generations} heads dropped"
    click.echo(_line(done) if as_json else f"{done.state}: {done.before_bytes} → {done.after_bytes} bytes; {dropped}")


@state.command("export")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--salvage", is_flag=True, help="Leave out what is damaged, and say so, instead of refusing.")
@json_option
@click.pass_obj
def state_export(call: Any, file: Path, salvage: bool, as_json: bool) -> None:
    """Write a sound copy of the state as one file with a digest; the device may go on meanwhile."""
    from edge_agent.state_copy import export_state

    artifact, folder = _artifact_and_folder(call)
    done = export_state(folder, file, call.settings().wait_ms, artifact.digest, salvage)
    click.echo(_line(done) if as_json else f"{done.file}: {done.bytes} bytes, sha256 {done.sha256}")
    _show_lost(done.lost, as_json)


@state.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--replace", is_flag=True, help="Replace the state that is there; it is kept beside, in a directory of its own.")
@json_option
@click.pass_obj
def state_import(call: Any, file: Path, replace: bool, as_json: bool) -> None:
    """Put an exported state in the place of an empty one; nothing changes before all of it is verified."""
    from edge_agent.state_replacing import import_state

    artifact, folder = _artifact_and_folder(call)
    done = import_state(file, folder, artifact, call.settings(), replace)
    if as_json:
        click.echo(_line(done))
        return
    click.echo(f"{done.state}: {done.corrections} corrections, {done.active} in force")
    if done.kept:
        click.echo(f"what was there before is kept in {done.kept}")
    _show_lost(done.lost, as_json)


@state.command("pending")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line on stdout, and nothing else there.")
@click.pass_obj
def state_pending(call: Any, as_json: bool) -> None:
    """List the corrections that `migrate` could not teach again; teaching the picture takes one off the list."""
    from edge_agent.journal import Journal
    from edge_agent.journal_rows import read_pending

    artifact, folder = _artifact_and_folder(call)
    for found in Journal(folder, artifact.digest, call.settings(), lambda: datetime.now(timezone.utc)).read(read_pending):
        click.echo(_line(found) if as_json else f"#{found.correction} {found.image or found.sample_id}, {found.label}: {found.reason}")


def _artifact_and_folder(call: Any) -> tuple[Artifact, Path]:
    from edge_agent.artifact import Artifact
    from edge_agent.settings import default_state

    artifact = Artifact.open(call.artifact_path())
    return artifact, Path(call.state) if call.state else default_state(os.environ, artifact.digest)


def _show_lost(lost: tuple[str, ...], as_json: bool) -> None:
    if lost and not as_json:
        click.echo(f"not in it, for it was damaged: {'; '.join(lost)}")


def _line(facts: Any) -> str:
    return json.dumps(dataclasses.asdict(facts), ensure_ascii=False)
