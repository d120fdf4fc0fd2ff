"""`edge-agent`: parse, call, print; what the commands do is in `agent.py`, how people see it in `printing.py`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_agent import __version__
from edge_agent.cli_advise import advise
from edge_agent.cli_bench import bench
from edge_agent.cli_corrections import corrections
from edge_agent.cli_engine import check_engine
from edge_agent.cli_health import health, is_health, metrics, run_health
from edge_agent.cli_labels import labels
from edge_agent.cli_migrate import migrate
from edge_agent.cli_mqtt import mqtt
from edge_agent.cli_queue import queue
from edge_agent.cli_serve import serve
from edge_agent.cli_state import state as state_commands
from edge_agent.command_line import report, run_command
from edge_agent.errors import InputError, StateError, UsageError

if TYPE_CHECKING:
    from edge_agent.agent import EdgeAgent
    from edge_agent.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT_ARTIFACT = "artifacts/default"
REFUSED = 4

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line on stdout, and nothing else there.")


@dataclasses.dataclass(frozen=True)
class Call:
    """The options that stand before the command."""

    artifact: str | None
    state: str | None
    settings_file: str | None
    flags: dict[str, object]

    def settings(self) -> Settings:
        """Defaults < settings file < environment < flags."""
        from edge_agent.settings import Settings

        return Settings.load(self.settings_file, os.environ, self.flags)

    def agent(self) -> EdgeAgent:
        """Open the agent that these options name.

        Raises:
            UsageError: no artifact was named, and there is no default one here.
        """
        from edge_agent.agent import EdgeAgent

        return EdgeAgent.open(self.artifact_path(), self.state, settings=self.settings())

    def artifact_path(self) -> str:
        """The artifact that was named, or the default one.

        Raises:
            UsageError: no artifact was named, and there is no default one here.
        """
        artifact = self.artifact or (DEFAULT_ARTIFACT if Path(DEFAULT_ARTIFACT).is_dir() else None)
        if artifact is None:
            raise UsageError("no artifact was named", "give --artifact DIR or set EDGE_AGENT_ARTIFACT")
        return artifact


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edge-agent")
@click.option("--artifact", envvar="EDGE_AGENT_ARTIFACT", metavar="DIR", help="The artifact; default: artifacts/default here.")
@click.option("--state", envvar="EDGE_AGENT_STATE", metavar="DIR", help="Where corrections are kept; default: see `info`.")
@click.option("--settings", "settings_file", metavar="FILE", help="A TOML file of settings. [EDGE_AGENT_SETTINGS]")
@click.option("--provider", metavar="NAME", help="auto, CPUExecutionProvider or CUDAExecutionProvider. [EDGE_AGENT_PROVIDER]")
@click.option("--engine", metavar="NAME", help="auto, onnxruntime-training, portable or a registered one. [EDGE_AGENT_ENGINE]")
@click.option("--threads", type=int, metavar="N", help="Threads of the backbone; 0: as ONNX Runtime chooses. [EDGE_AGENT_THREADS]")
@click.option("--trusted-key", metavar="FILE", help="Refuse artifacts that no key in FILE signed, and older ones. [EDGE_AGENT_TRUSTED_KEY]")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(
    context: click.Context,
    artifact: str | None,
    state: str | None,
    settings_file: str | None,
    provider: str | None,
    engine: str | None,
    threads: int | None,
    trusted_key: str | None,
    debug: bool,
) -> None:
    """Correct a trained image classifier from one picture, check that nothing was forgotten, and take it back.

    Exit codes: 0 done, 4 the correction was refused, 64 usage, 65 bad input, 66 artifact, 69 runtime, 73 state.
    """
    flags: dict[str, object] = {"provider": provider, "engine": engine, "threads": threads, "trusted_key": trusted_key}
    context.obj = Call(artifact, state, settings_file, flags)


@cli.command()
@json_option
@click.pass_obj
def info(call: Call, as_json: bool) -> None:
    """Show the artifact, the runtime, the engine and the state."""
    _show(call.agent().info(), as_json)


@cli.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many labels to show.")
@click.option("--collect/--no-collect", default=None, help="Let pictures that are worth asking about wait in the queue.")
@json_option
@click.pass_obj
def predict(call: Call, images: tuple[str, ...], top: int, collect: bool | None, as_json: bool) -> int:
    """Classify pictures: files, directories, or - for one picture on stdin."""
    from edge_agent.printing import show_prediction

    agent, status = call.agent(), 0
    collect = agent.settings.collect if collect is None else collect
    for name in _expanded(images):
        try:
            seen = agent.predict(_picture(name, agent), top, "stdin" if name == "-" else name)
        except InputError as error:  # the others are still worth an answer
            status = status or report(error)
            continue
        facts, offer = seen.as_json(), None
        try:
            offer = agent.queue.offer(seen) if collect else None
        except StateError as error:  # what cannot be kept is still predicted
            status = status or report(error)
        if offer is not None:
            facts["queue"] = {"kept": offer.kept, "reason": offer.reason, "score": offer.score}
        show_prediction(seen, offer) if not as_json else click.echo(_line(facts))
    return status


@cli.command()
@click.argument("image")
@click.option("--label", required=True, metavar="NAME", help="The right label.")
@click.option("--new-label", is_flag=True, help="Add the label if it does not exist.")
@click.option("--views", type=int, metavar="N", help="Re-shots to remember with it, 0 to 8. [EDGE_AGENT_VIEWS]")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@click.option("--force", is_flag=True, help="Remember a picture that is right already; accept what the guard refuses. It is recorded.")
@json_option
@click.pass_obj
def correct(
    call: Call, image: str, label: str, new_label: bool, views: int | None, dry_run: bool, force: bool, as_json: bool
) -> int:
    """Teach the right label of one picture, if that does no harm."""
    from edge_agent.printing import show_correction

    agent = call.agent()
    seen = agent.predict(_picture(image, agent), name="stdin" if image == "-" else image)
    shots = agent.settings.views if views is None else views
    done = agent.correct(seen, label, new_label=new_label, views=shots, dry_run=dry_run, force=force)
    show_correction(done) if not as_json else click.echo(_line(dataclasses.asdict(done)))
    return REFUSED if done.verdict == "refused" else 0


@cli.command()
@click.argument("number", metavar="[ID]", type=int, required=False)
@json_option
@click.pass_obj
def undo(call: Call, number: int | None, as_json: bool) -> None:
    """Take a correction back: the last one, or the one with this id."""
    from edge_agent.printing import show_undo

    done = call.agent().undo(number)
    show_undo(done) if not as_json else click.echo(_line(dataclasses.asdict(done)))


@cli.command()
@json_option
@click.pass_obj
def history(call: Call, as_json: bool) -> None:
    """Show every correction that was recorded, and whether it still acts; refused and undone ones too."""
    from edge_agent.printing import show_history

    entries = call.agent().history()
    if as_json:
        for entry in entries:
            click.echo(_line(dataclasses.asdict(entry)))
    else:
        show_history(entries)


@cli.command()
@json_option
@click.pass_obj
def reset(call: Call, as_json: bool) -> None:
    """Take every correction back; the history stays."""
    from edge_agent.printing import show_undo

    done = call.agent().reset()
    show_undo(done) if not as_json else click.echo(_line(dataclasses.asdict(done)))


@cli.command("export-onnx")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@click.pass_obj
def export_onnx(call: Call, file: Path, as_json: bool) -> None:
    """Write the corrected network as one plain ONNX file: image → logits."""
    difference = call.agent().export_onnx(file)
    facts = {"file": str(file), "bytes": file.stat().st_size, "max_difference": difference}
    text = f"{file}: {facts['bytes']} bytes; its logits differ from the agent's by at most {difference:.2g}"
    click.echo(_line(facts) if as_json else text)


cli.add_command(labels)
cli.add_command(queue)
cli.add_command(advise)
cli.add_command(mqtt)
cli.add_command(corrections)
cli.add_command(bench)
cli.add_command(check_engine)
cli.add_command(health)
cli.add_command(metrics)
cli.add_command(serve)
cli.add_command(state_commands)
cli.add_command(migrate)


def main() -> None:
    """The entry point of the command `edge-agent`."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's products are small here, and starting its threads takes 20 ms
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code; every error has become one line on stderr.
    """
    return run_health(cli, arguments) if is_health(cli, arguments) else run_command(cli, "edge-agent", arguments)


def _show(facts: Any, as_json: bool) -> None:
    values = dataclasses.asdict(facts)
    width = max(map(len, values))
    click.echo(_line(values) if as_json else "\n".join(f"{name:<{width}}  {value}" for name, value in values.items()))


def _line(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False)


def _expanded(images: Sequence[str]) -> list[str]:
    """Directories become the pictures in them."""
    from edge_agent.image import find_pictures

    return [str(path) for name in images for path in (find_pictures(name) if os.path.isdir(name) else [name])]


def _picture(name: str, agent: EdgeAgent) -> str | bytes:
    """What `EdgeAgent.predict` takes for a name on the command line; - is stdin, read no further than it may be long."""
    return name if name != "-" else sys.stdin.buffer.read(agent.settings.max_file_bytes + 1)


if __name__ == "__main__":
    main()
