"""`edge-agent queue`: the pictures that wait for a person, and what a person says of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from edge_agent.queue import Waiting

REFUSED = 4
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line on stdout, and nothing else there.")


@click.group("queue")
def queue() -> None:
    """The pictures that are worth a person's second: `predict --collect` lets them wait, an answer is a correction."""


@queue.command("list")
@click.option("--limit", type=int, metavar="N", help="At most so many; default: all.")
@json_option
@click.pass_obj
def queue_list(call: Any, limit: int | None, as_json: bool) -> None:
    """Show what waits, the picture most worth asking about first."""
    found = call.agent().queue.waiting(limit)
    if not as_json:
        _show(found)
    for waiting in found if as_json else ():
        click.echo(_line(dataclasses.asdict(waiting)))


@queue.command("show")
@click.argument("sample_id", metavar="ID")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the picture there.")
@json_option
@click.pass_obj
def queue_show(call: Any, sample_id: str, output: Path | None, as_json: bool) -> None:
    """Show one picture's guesses and why it is asked; with --output also the picture itself."""
    waits = call.agent().queue
    facts = {**dataclasses.asdict(waits.get(sample_id)), **({"output": str(output)} if output else {})}
    if output is not None:
        from edge_agent.atomic_file import write_atomically

        write_atomically(output, waits.picture(sample_id))
    width = max(map(len, facts))
    click.echo(_line(facts) if as_json else "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items()))


@queue.command("label")
@click.argument("sample_id", metavar="ID")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--label", metavar="NAME", help="The right label; the same as the argument.")
@click.option("--new-label", is_flag=True, help="Add the label if it does not exist.")
@json_option
@click.pass_obj
def queue_label(call: Any, sample_id: str, name: str | None, label: str | None, new_label: bool, as_json: bool) -> int:
    """Say what a picture is: it is corrected as by `correct`, and waits no longer."""
    from edge_agent.printing import show_correction

    done = call.agent().queue.label(sample_id, _only([text for text in (name, label) if text is not None]), new_label)
    show_correction(done) if not as_json else click.echo(_line({"sample_id": sample_id, **dataclasses.asdict(done)}))
    return REFUSED if done.verdict == "refused" else 0


@queue.command("skip")
@click.argument("sample_ids", metavar="ID…", nargs=-1, required=True)
@click.option("--unsure", is_flag=True, help="You cannot tell what it is; it is counted as that.")
@json_option
@click.pass_obj
def queue_skip(call: Any, sample_ids: tuple[str, ...], unsure: bool, as_json: bool) -> None:
    """Take pictures out without an answer; neither they nor others like them are asked about again."""
    waits, answer = call.agent().queue, "unsure" if unsure else "skipped"
    for sample_id in sample_ids:
        (waits.unsure if unsure else waits.skip)(sample_id)
        click.echo(_line({"sample_id": sample_id, "answer": answer}) if as_json else f"{answer} {sample_id}")


@queue.command("clear")
@json_option
@click.pass_obj
def queue_clear(call: Any, as_json: bool) -> None:
    """Empty the queue; what was in it may come back."""
    count = call.agent().queue.clear()
    click.echo(_line({"cleared": count}) if as_json else f"{count} pictures left the queue")


def _only(said: list[str]) -> str:
    if len(said) != 1:
        raise UsageError(f"{len(said)} labels were given, expected one", "edge-agent queue label ID NAME")
    return said[0]


def _show(found: tuple[Waiting, ...]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not found:
        click.echo("nothing waits")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "picture", "guess", "worth", "why"):
        table.add_column(title, overflow="fold", no_wrap=title == "id")
    for waiting in found:
        guess = f"{escape(waiting.label)} {waiting.probability:.0%}"
        table.add_row(waiting.sample_id, escape(waiting.image or "-"), guess, f"{waiting.score:.2f}", escape(waiting.reason))
    Console(emoji=False).print(table)


def _line(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False)
