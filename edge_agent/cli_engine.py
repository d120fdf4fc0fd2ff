"""`edge-agent check-engine`: the contract test of an engine, built in or registered."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

NONCONFORMING = 1


@click.command("check-engine")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per clause on stdout, and nothing else there.")
@click.pass_obj
def check_engine(call: Any, name: str, as_json: bool) -> int:
    """Run the engine contract on the engine NAME, our own or a registered one; 0 when every clause holds, else 1."""
    from edge_agent.engines.conformance import check_engine

    clauses = check_engine(call.agent().artifact, name)
    for clause in clauses:
        line = f"{'ok    ' if clause.holds else 'FAILED'}  {clause.name}: {clause.detail}"
        click.echo(json.dumps(dataclasses.asdict(clause), ensure_ascii=False) if as_json else line)
    return 0 if all(clause.holds for clause in clauses) else NONCONFORMING
