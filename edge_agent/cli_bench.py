"""`edge-agent bench`: how fast this device is."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_agent.speed import Speed, Times

MOST_RUNS = 100_000


@click.command()
@click.argument("images", nargs=-1, metavar="[IMAGE…]")
@click.option("--runs", default=30, show_default=True, type=click.IntRange(1, MOST_RUNS), help="How often each thing is timed.")
@click.option("--folder", metavar="DIR", help="Where the state that is thrown away is made; default: with the temporary files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
@click.pass_obj
def bench(call: Any, images: tuple[str, ...], runs: int, folder: str | None, as_json: bool) -> None:
    """Time predictions of pictures (default: the golden samples), and corrections with 0, 32 and 256 remembered.

    The corrections are made on a state of their own, which is thrown away; the device's state is neither read nor changed.
    """
    from edge_agent.speed import measure_speed

    speed = measure_speed(call.artifact_path(), call.settings(), images, runs, folder)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(speed), ensure_ascii=False))
    else:
        _show(speed)


def _show(speed: Speed) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    size = "×".join(str(side) for side in speed.image_px)
    what = f"{speed.model}, {size} px, {speed.labels} labels; ONNX Runtime {speed.onnxruntime}"
    console.print(escape(f"{what}, {speed.provider}, engine {speed.engine}"))
    table = Table(box=None, pad_edge=False)
    table.add_column(f"milliseconds, {speed.predict.runs} runs")
    for title in ("p50", "p95", "min", "max"):
        table.add_column(title, justify="right")
    table.add_row(f"predict ({speed.pictures} pictures)", *_cells(speed.predict))
    for found in speed.corrections:
        table.add_row(f"correct, {found.remembered} remembered, {found.steps} steps, nothing written", *_cells(found.without_disk))
        table.add_row(f"correct, {found.remembered} remembered, on the disk", *_cells(found.acknowledged))
    console.print(table)


def _cells(times: Times) -> list[str]:
    return [f"{value:.2f}" for value in (times.p50_ms, times.p95_ms, times.min_ms, times.max_ms)]
