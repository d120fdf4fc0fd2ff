"""`edge-export`: parse, call, print; torch is imported only by the commands that need it."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_agent import __version__
from edge_agent.command_line import run_command
from edge_agent.errors import RuntimeUnavailable
from export.cli_layers import OrderedCommand, choices_in_order, layer_options, training_options
from export.cli_signing import keygen, sign

if TYPE_CHECKING:
    from export.build import BuildReport
    from export.verify import VerifyReport

Command = TypeVar("Command", bound=Callable[..., Any])
MOST_PX = 8192
CALLED = "edge_agent.called"  # how the command was called, in click's context
MOST_NAMED = 10  # pictures that could not be read

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edge-export")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Turn a trained classifier into an artifact that edge-agent corrects on the device.

    Exit codes: 0 done, 64 usage, 65 bad input, 66 artifact, 69 runtime.
    """


def image_options(command: Command) -> Command:
    """The options that override torchvision's preset."""
    size = click.IntRange(1, MOST_PX)
    for option in reversed((
        click.option("--input-size", type=size, metavar="N", help="Crop N×N pixels; alone, the shorter side is resized to N."),
        click.option("--resize", type=size, metavar="N", help="Resize the shorter side to N before the crop."),
        click.option("--interpolation", type=click.Choice(["nearest", "bilinear", "bicubic"]), help="How to resize."),
        click.option("--mean", type=float, nargs=3, metavar="R G B", help="Mean of pictures in 0…1."),
        click.option("--std", type=float, nargs=3, metavar="R G B", help="Standard deviation of pictures in 0…1."),
    )):  # fmt: skip
        command = option(command)
    return command


class _Recalling(OrderedCommand):
    """A command that knows how it was called, word by word: a report names it so that it can be called again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words, then parse them."""
        ctx.meta[CALLED] = shlex.join(["edge-export", str(ctx.info_name), *args])
        return super().parse_args(ctx, args)


@cli.command(cls=_Recalling)
@click.option("--model", required=True, metavar="NAME", help="One of `edge-export models`, or package.module:factory.")
@click.option("--weights", required=True, metavar="FILE|default|none", help="A state dict file, torchvision's own, or random.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="One label per line; default: the folders of --data.")
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A folder of one folder of pictures per label.")
@click.option("--output", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The artifact to write.")
@image_options
@layer_options
@training_options
@click.option("--spare-classes", type=int, default=16, show_default=True, metavar="N", help="Rows for classes added on the device.")
@click.option("--limit", type=int, default=5000, show_default=True, metavar="N", help="Use at most N pictures, evenly over the labels.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N", help="Of all chance.")
@click.option("--quantize", type=click.Choice(["int8", "float16"]), help="Make the network smaller: int8 for CPUs, float16 for GPUs.")
@click.option("--max-accuracy-drop", type=click.FloatRange(0, 100), default=1.0, show_default=True, metavar="POINTS", help="By --quantize.")
@click.option("--force", is_flag=True, help="Accept a greater loss by --quantize; it is recorded.")
@click.option("--corrections", multiple=True, type=click.Path(path_type=Path), metavar="DIR", help="What a device taught; may be repeated.")
@click.option("--licence", metavar="TEXT", help="What the model card says of the terms of use.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Default: OUTPUT.report.html.")
@click.option("--no-report", is_flag=True, help="Write no report; it takes up to half a minute.")
@click.option("--overwrite", is_flag=True, help="Replace an artifact that lies at --output.")
@json_option
@click.pass_context
def build(
    context: click.Context,
    model: str,
    weights: str,
    labels: Path | None,
    data: Path,
    output: Path,
    input_size: int | None,
    resize: int | None,
    interpolation: str | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    freeze: tuple[str, ...],
    finetune: tuple[str, ...],
    reinit: tuple[str, ...],
    epochs: int,
    learning_rate: float,
    no_flip: bool,
    spare_classes: int,
    limit: int,
    seed: int,
    quantize: str | None,
    max_accuracy_drop: float,
    force: bool,
    corrections: tuple[Path, ...],
    licence: str | None,
    report: Path | None,
    no_report: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Build an artifact from a model, its weights, labels and labelled pictures."""
    _require_torch()
    from export.build import build as run_build
    from export.plan import BuildPlan
    from export.printing import progress_on_stderr, show_build
    from export.recipe import Recipe
    from export.source import Overrides

    overrides = Overrides(input_size, resize, interpolation, mean, std)
    plan = BuildPlan(
        model, weights, labels, data, output, overrides, spare_classes, limit, overwrite, seed,
        quantize=quantize, max_accuracy_drop=max_accuracy_drop, force=force, corrections=corrections,
        licence=licence, report=None if no_report else report or _beside(output), command=context.meta[CALLED],
        choices=choices_in_order({"freeze": freeze, "finetune": finetune, "reinit": reinit}),
        recipe=Recipe(epochs=epochs, learning_rate=learning_rate, flip=not no_flip),
    )  # fmt: skip
    with progress_on_stderr() as progress:
        done = run_build(plan, progress)
    for picture in done.unreadable[:MOST_NAMED]:
        click.echo(f"not read: {picture}", err=True)
    if len(done.unreadable) > MOST_NAMED:
        click.echo(f"not read: {len(done.unreadable) - MOST_NAMED} more", err=True)
    for line in done.home.listed() if done.home is not None else ():
        click.echo(line, err=True)
    show_build(done) if not as_json else click.echo(json.dumps(build_json(done), ensure_ascii=False))


@cli.command()
@click.option("--model", required=True, metavar="NAME", help="One of `edge-export models`, or package.module:factory.")
@click.option("--weights", required=True, metavar="FILE|default|none", help="A state dict file, torchvision's own, or random.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="One label per line; default: the folders of --data.")
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A folder of one folder of pictures per label.")
@click.option("--reinit", type=click.Choice(["head"]), help="A new task: the last layer begins anew, with a row for each label.")
@image_options
@click.option("--limit", type=int, default=1000, show_default=True, metavar="N", help="Measure on at most N pictures.")
@click.option("--minutes", type=click.FloatRange(0, 1440), default=5.0, show_default=True, metavar="N", help="What measuring may take.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N", help="Of all chance.")
@json_option
def advise(
    model: str,
    weights: str,
    labels: Path | None,
    data: Path,
    reinit: str | None,
    input_size: int | None,
    resize: int | None,
    interpolation: str | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    limit: int,
    minutes: float,
    seed: int,
    as_json: bool,
) -> None:
    """Say what to freeze, what to fine-tune and what to train from scratch: by rule, and measured where time allows."""
    _require_torch()
    from export.advise import advise as run_advise
    from export.learned import Choice
    from export.plan import BuildPlan
    from export.printing import progress_on_stderr
    from export.printing_advice import show_advice
    from export.source import Overrides

    overrides = Overrides(input_size, resize, interpolation, mean, std)
    choices = (Choice("reinit", reinit),) if reinit is not None else ()
    plan = BuildPlan(model, weights, labels, data, Path(), overrides, limit=limit, seed=seed, choices=choices)
    with progress_on_stderr() as progress:
        advice = run_advise(plan, minutes, progress)
    show_advice(advice) if not as_json else click.echo(json.dumps(dataclasses.asdict(advice), ensure_ascii=False))


@cli.command()
@click.argument("artifact", type=click.Path(path_type=Path), metavar="DIR")
@json_option
def verify(artifact: Path, as_json: bool) -> None:
    """Open an artifact, check every file, run its golden samples and both of the head's graphs."""
    from export.printing import show_verify
    from export.verify import verify as run_verify

    report = run_verify(artifact)
    show_verify(report) if not as_json else click.echo(json.dumps(verify_json(report), ensure_ascii=False))


@cli.command()
@json_option
def models(as_json: bool) -> None:
    """List torchvision's classifiers: parameters, last layer, width of its input, input size."""
    _require_torch()
    from export.catalogue import networks
    from export.printing import show_networks

    if as_json:
        click.echo(json.dumps({"models": [dataclasses.asdict(network) for network in networks()]}))
    else:
        show_networks(networks())


def _beside(output: Path) -> Path:
    """Where the report lies unless it is told: the artifact's own folder holds only what its manifest lists."""
    place = Path(os.path.abspath(output))
    return place.with_name(f"{place.name}.report.html")
cli.add_command(keygen)
cli.add_command(sign)


def build_json(report: BuildReport) -> dict[str, object]:
    """The keys of `build --json`: the manifest's facts, and what stands around them."""
    from export.printing import artifact_bytes, memory_bytes

    return {
        "output": str(report.output),
        "report": None if report.page is None else str(report.page),
        "elapsed_s": round(report.elapsed_s, 1),
        "artifact_bytes": artifact_bytes(report.manifest),
        "device_memory_bytes": memory_bytes(report.manifest),
        "unreadable": [str(picture) for picture in report.unreadable],
        "timing": None if report.timing is None else report.timing.facts(),
        "learned": None if report.learned is None else dataclasses.asdict(report.learned),
        "corrections": None if report.home is None else report.home.facts(),
        "warnings": list(report.warnings),
        **dataclasses.asdict(report.manifest),
    }


def verify_json(report: VerifyReport) -> dict[str, object]:
    """The keys of `verify --json`."""
    checks = [dataclasses.asdict(check) for check in report.checks]
    return {"artifact": str(report.artifact.path), "digest": report.artifact.digest, "status": "OK", "checks": checks}


def main() -> None:
    """The entry point of the command `edge-export`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code; every error has become one line on stderr.
    """
    return run_command(cli, "edge-export", arguments)


def _require_torch() -> None:
    """Say what to install where torch is missing; importing it takes seconds, so only the commands that need it do.

    Raises:
        RuntimeUnavailable: torch, torchvision or onnx cannot be imported.
    """
    try:
        import onnx  # noqa: F401
        import torchvision  # noqa: F401
    except ImportError as error:
        missing = f"the export needs torch, torchvision and onnx: {error}"
        raise RuntimeUnavailable(missing, "pip install 'onnx-edge-agent[export]'") from None


if __name__ == "__main__":
    main()
