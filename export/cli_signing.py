"""`edge-export keygen` and `edge-export sign`."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def keygen(file: Path, as_json: bool) -> None:
    """Make a key pair for signing artifacts: FILE, which you keep, and FILE.pub, which the devices get."""
    from export.signing import keygen as make

    made = make(file)
    facts = {"private": str(made.private), "public": str(made.public), "key": made.key}
    text = f"key {made.key}: keep {made.private}; devices get {made.public} (edge-agent --trusted-key)"
    click.echo(json.dumps(facts) if as_json else text)


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--key", "key_file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The private key.")
@click.option("--version", type=int, metavar="N", help="Devices refuse what is older than what they have seen; default: the time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def sign(artifact: Path, key_file: Path, version: int | None, as_json: bool) -> None:
    """Sign an artifact: manifest.sig beside its manifest."""
    from export.signing import sign as make

    made = make(artifact, key_file, version, datetime.now(timezone.utc))
    facts = {"file": str(made.file), "key": made.key, "version": made.version, "artifact_sha256": made.artifact_sha256}
    click.echo(json.dumps(facts) if as_json else f"{made.file}: signed by key {made.key}, version {made.version}")
