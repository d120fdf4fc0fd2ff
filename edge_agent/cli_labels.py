"""`edge-agent labels`: list the labels, add classes and remove them."""

from __future__ import annotations

import json
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def labels(context: click.Context, as_json: bool) -> None:
    """List the labels; `labels add NAME` adds a class."""
    if context.invoked_subcommand is None:
        agent = context.obj.agent()
        factory = len(agent.artifact.labels)
        facts = {"labels": list(agent.labels), "added": list(agent.labels[factory:]), "spare_classes": agent.spare_classes}
        click.echo(_line(facts) if as_json else "\n".join(agent.labels))


@labels.command("add")
@click.argument("name")
@json_option
@click.pass_context
def labels_add(context: click.Context, name: str, as_json: bool) -> None:
    """Add a class; it wins no picture until `correct` teaches it one."""
    as_json = as_json or (context.parent is not None and context.parent.params["as_json"])
    spare = context.obj.agent().add_label(name)
    click.echo(_line({"label": name, "spare_classes": spare}) if as_json else f"added {name}; {spare} spare classes are left")


@labels.command("remove")
@click.argument("name")
@json_option
@click.pass_obj
def labels_remove(call: Any, name: str, as_json: bool) -> None:
    """Remove a class that was added here and that no active correction names."""
    spare = call.agent().remove_label(name)
    click.echo(_line({"label": name, "spare_classes": spare}) if as_json else f"removed {name}; {spare} spare classes are left")


def _line(facts: dict[str, object]) -> str:
    return json.dumps(facts, ensure_ascii=False)
