"""How people see the export: progress on stderr, tables on stdout, in colour on a terminal, plain in a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from edge_agent.chained import backbone_files
from edge_agent.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.build import BuildReport
    from export.catalogue import Network
    from export.learned import Learned
    from export.verify import VerifyReport

BASE_MEMORY_BYTES = 80_000_000  # Python, numpy, Pillow and ONNX Runtime before a network is loaded
MEMORY_PER_BYTE = 3.1  # of backbone.onnx; peaks of 98 MB to 1.1 GB measured on six networks, agreeing within 8 %


@contextlib.contextmanager
def progress_on_stderr() -> Iterator[Callable[[str, int, int], None]]:
    """A progress display, one line per stage; in a pipe one plain line per finished stage.

    Yields:
        A function `(stage, done, total)`.
    """
    if not sys.stderr.isatty():
        yield _plain
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    own = os.fdopen(os.dup(sys.stderr.fileno()), "w")  # exporters are silenced by taking stderr away from them
    with own, Progress(*columns, console=Console(file=own, force_terminal=True)) as display:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = display.add_task(stage, total=total)
            display.update(tasks[stage], completed=done, total=total)

        yield show


def show_build(report: BuildReport) -> None:
    """The files, then what was found, then what is uncertain."""
    manifest = report.manifest
    _print(f"[bold]{escape(str(report.output))}[/bold] in {report.elapsed_s:.0f} s")
    for name, entry in sorted(manifest.files.items()):
        _print(f"  {escape(name):<32} {entry.bytes:>13,} bytes")
    for name, value in build_facts(manifest).items():
        _print(f"{name:<17} {escape(value)}")
    if report.timing is not None:
        _print(f"{'a pass':<17} {escape(report.timing.sentence)}")
    if report.learned is not None:
        _print(f"{'trained':<17} {escape(learned_sentence(report.learned))}")
    if report.home is not None:
        _print(f"{'corrections':<17} {report.home.used} pictures from {report.home.directories} devices' directories")
    if report.page is not None:
        _print(f"{'report':<17} {escape(str(report.page))}")
    for warning in report.warnings:
        _print(f"[yellow]warning[/yellow]: {escape(warning)}")


def learned_sentence(learned: Learned) -> str:
    """What was trained, in a sentence."""
    before, best, passes = learned.before, learned.best, len(learned.curve) - 1
    share = f"{learned.trained:,} of {learned.parameters:,} parameters in {', '.join(learned.layers)}"
    right = f"{before.held_out_accuracy:.1%} → {best.held_out_accuracy:.1%} right on {learned.held_out} held-out pictures"
    return f"{share}; {right}, pass {learned.kept} of {passes}, on {learned.pictures} pictures"


def show_verify(report: VerifyReport) -> None:
    """A line for each check."""
    _print(f"[bold]{escape(str(report.artifact.path))}[/bold] {report.artifact.digest[:16]}")
    for check in report.checks:
        limits = "" if check.difference is None else f" (difference {check.difference:.1e}, accepted {check.tolerance:.1e})"
        _print(f"[green]ok[/green]  {check.name:<20} {escape(check.detail)}{limits}")


def show_networks(networks: Iterable[Network]) -> None:
    """A line for each network, as soon as it is known."""
    row = "{:<22} {:>12}  {:<14} {:<7} {:>8} {:>7}"
    _print("[bold]" + row.format("name", "parameters", "head", "kind", "features", "input") + "[/bold]")
    for network in networks:
        count, size = f"{network.parameters:,}", f"{network.input_px} px"
        _print(row.format(network.name, count, network.last_layer, network.last_layer_kind, network.features, size))


def artifact_bytes(manifest: Manifest) -> int:
    """Size of all files that the manifest lists."""
    return sum(entry.bytes for entry in manifest.files.values())


def memory_bytes(manifest: Manifest) -> int:
    """What the device's process needs at its peak while it corrects, roughly."""
    network = sum(manifest.files[name].bytes for name in backbone_files(manifest.files))
    return round(BASE_MEMORY_BYTES + MEMORY_PER_BYTE * network)


def build_facts(manifest: Manifest) -> dict[str, str]:
    """What a person wants to know of a new artifact, by name."""
    parity, sentinel = manifest.parity, manifest.sentinel
    layer = f"{manifest.model.last_layer} ({manifest.model.last_layer_kind})"
    input_px = "×".join(map(str, manifest.image.crop_px))
    held = "" if sentinel.held_out else ", not held out"
    differences = f"logits {parity.logits:.1e}, context {parity.context:.1e}, gradient {parity.gradient:.1e}"
    facts = {
        "network": f"{manifest.model.name}, {manifest.model.parameters:,} parameters, last layer {layer}, input {input_px} px",
        "labels": f"{manifest.classes} and {manifest.spare_classes} spare",
        "context": f"{manifest.directions} directions from {manifest.features} features and {', '.join(manifest.taps)}",
        "temperature": f"{manifest.temperature:.3f}",
        "sentinel": f"{sentinel.size} pictures, accuracy {sentinel.accuracy:.1%}{held}; statistics from {manifest.statistics.pictures}",
        "parity": f"{differences} on {parity.pictures} pictures",
        "the device needs": f"{artifact_bytes(manifest) / 1e6:.1f} MB on disk, about {memory_bytes(manifest) / 1e6:.0f} MB of memory",
    }
    small = manifest.quantization
    if small is not None:
        both = f"{small.accuracy:.1%} right, {small.float_accuracy:.1%} in float32"
        facts["quantised"] = f"{small.kind}: {both}, on {small.pictures} pictures"
    return facts


def _plain(stage: str, done: int, total: int) -> None:
    if done >= total:
        print(f"{stage}: {total}", file=sys.stderr)


def _print(text: str) -> None:
    Console(highlight=False, soft_wrap=True).print(text)
