"""`edge-agent health` and `edge-agent metrics`: for monitors, at start-up, after an update.

`health` keeps the Nagios convention to the letter: 0 OK, 1 WARNING, 2 CRITICAL, and 3 for all else, which includes wrong options (click
would exit with 2), exceptions (Python would exit with 1), `--help` and a standard output that cannot be written.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_agent.errors import EdgeAgentError, UsageError
from edge_agent.health_settings import CHECKS, MEASURES, HealthSettings
from edge_agent.nagios import Range, Status, status_line
from edge_agent.supervised import supervised

if TYPE_CHECKING:
    from edge_agent.health import HealthReport

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--checks", metavar="NAMES", help="Run these checks alone: names between commas."),
    click.option("--skip", metavar="NAMES", help="Leave these checks out."),
    click.option("--warning", "-w", multiple=True, metavar="MEASURE=RANGE", help="A Nagios range in place of the default; repeatable."),
    click.option("--critical", "-c", multiple=True, metavar="MEASURE=RANGE", help="The same for CRITICAL; an empty range switches it off."),
    click.option("--max-latency-ms", type=float, metavar="MS", help="CRITICAL when the 95th percentile of a prediction takes longer."),
    click.option("--timeout", "-t", "timeout_s", type=float, metavar="SECONDS", help="UNKNOWN after this time; default 10."),
    click.option("--deep", is_flag=True, default=None, help="Also solve all corrections again and compare the heads."),
)


def _health_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
@click.option("--table", "as_table", is_flag=True, help="Print a table for people.")
@_health_options
@click.pass_context
def health(
    context: click.Context,
    as_json: bool,
    as_table: bool,
    checks: str | None,
    skip: str | None,
    warning: tuple[str, ...],
    critical: tuple[str, ...],
    max_latency_ms: float | None,
    timeout_s: float | None,
    deep: bool | None,
) -> Status:
    """Check everything and print one line for a monitor; nothing is written.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also wrong options, failures of the check itself, and this help). Each option
    also as EDGE_AGENT_HEALTH_CHECKS, _SKIP, _WARNING, _CRITICAL, _MAX_LATENCY_MS, _TIMEOUT_S, _DEEP, and in the table [health] of the
    settings file. `edge-agent health list` prints checks, measures and thresholds.
    """
    call = context.obj
    settings = _settings(call, checks, skip, warning, critical, max_latency_ms, timeout_s, deep)
    if context.invoked_subcommand is not None:
        context.obj = settings
        return Status.OK
    colour, width, asked_by = sys.stdout.isatty(), shutil.get_terminal_size().columns, os.getpid()

    def work(note: Callable[[str], None]) -> tuple[int, str]:
        report = _examined(call, settings, note, asked_by)
        if as_json:
            return int(report.status), json.dumps(report.as_json(), ensure_ascii=False)
        if not as_table:
            return int(report.status), report.line()
        from edge_agent.printing import health_table

        return int(report.status), health_table(report, colour, width)

    status, text = supervised(work, settings.timeout_s)
    _say(text)
    return Status(status)


@health.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per measure on stdout, and nothing else there.")
@click.pass_obj
def health_list(settings: HealthSettings, as_json: bool) -> Status:
    """Print the checks, what each measures, and the thresholds in force."""
    for check, meaning in CHECKS.items():
        if not as_json:
            _say(f"{check}{'' if check in settings.checks else ' (skipped)'}: {meaning}")
        for spec in (spec for spec in MEASURES.values() if spec.check == check):
            warning = _text(settings.warning.get(spec.name), spec.warning, spec.name in settings.warning)
            critical = _text(settings.critical.get(spec.name), spec.critical, spec.name in settings.critical)
            facts = {"check": check, "measure": spec.name, "unit": spec.unit, "warning": warning, "critical": critical}
            if as_json:
                _say(json.dumps({**facts, "otherwise": spec.otherwise, "meaning": spec.meaning}, ensure_ascii=False))
                continue
            limits = [f"warning {warning}" if warning else "", f"critical {critical}" if critical else "", spec.otherwise]
            _say(f"  {spec.name + (f' [{spec.unit}]' if spec.unit else ''):<29}{spec.meaning}{_brackets(limits)}")
    return Status.OK


@click.command()
@click.option("--textfile", type=click.Path(path_type=Path, dir_okay=False), metavar="PATH", help="Write PATH whole, for node_exporter.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per sample, and nothing else on stdout.")
@_health_options
@click.pass_obj
def metrics(
    call: Any,
    textfile: Path | None,
    as_json: bool,
    checks: str | None,
    skip: str | None,
    warning: tuple[str, ...],
    critical: tuple[str, ...],
    max_latency_ms: float | None,
    timeout_s: float | None,
    deep: bool | None,
) -> None:
    """Print what `health` measures, and the counters, in Prometheus' text format; the state is a metric, not the exit code."""
    settings, asked_by = _settings(call, checks, skip, warning, critical, max_latency_ms, timeout_s, deep), os.getpid()

    def work(note: Callable[[str], None]) -> str:
        from edge_agent.metrics import exposition, samples

        report = _examined(call, settings, note, asked_by)
        return samples(report) if as_json else exposition(report)

    text = supervised(work, settings.timeout_s)
    if textfile is None:
        click.echo(text, nl=False)
    else:
        from edge_agent.metrics import write_textfile

        write_textfile(textfile, text)


def is_health(group: click.Group, arguments: Sequence[str]) -> bool:
    """Whether a command line asks for `health`, also when click would refuse an option before that word.

    Args:
        group: the program.
        arguments: without its name.

    Returns:
        Whether the first word that is the name of a command, and no value of an option, is `health`.
    """
    valued = {name for option in group.params if isinstance(option, click.Option) and not option.is_flag for name in option.opts}
    before = ""
    for word in arguments:
        if before not in valued and word in group.commands:
            return word == "health"
        before = "" if before in valued else word
    return False


def run_health(group: click.Group, arguments: Sequence[str]) -> int:
    """Run `health`; whatever goes wrong is UNKNOWN, on one line of standard output, where monitors look.

    Args:
        group: the program.
        arguments: without its name.

    Returns:
        0, 1, 2 or 3.
    """
    try:
        status = group.main(list(arguments), prog_name="edge-agent", standalone_mode=False)
        sys.stdout.flush()
        return int(status) if isinstance(status, Status) else int(Status.UNKNOWN)
    except BaseException as error:  # also Ctrl-C, and what a library may do to end the process
        if "--debug" in arguments:
            import traceback

            traceback.print_exc()
        _say_unknown(error, "--json" in arguments)
        return int(Status.UNKNOWN)


def _settings(
    call: Any,
    checks: str | None,
    skip: str | None,
    warning: tuple[str, ...],
    critical: tuple[str, ...],
    max_latency_ms: float | None,
    timeout_s: float | None,
    deep: bool | None,
) -> HealthSettings:
    flags: dict[str, object] = {
        "checks": checks, "skip": skip, "warning": warning or None, "critical": critical or None,
        "max_latency_ms": max_latency_ms, "timeout_s": timeout_s, "deep": deep,
    }  # fmt: skip
    return HealthSettings.load(call.settings_file, os.environ, flags)


def _examined(call: Any, settings: HealthSettings, note: Callable[[str], None], asked_by: int) -> HealthReport:
    from edge_agent.health import examine

    isolated = os.getpid() != asked_by  # `supervised` may have made a process for this alone
    return examine(call.artifact_path(), call.state, call.settings(), settings, note=note, isolated=isolated)


def _text(limit: Range | None, default: str, is_set: bool) -> str:
    return default if not is_set else limit.text if limit else ""


def _brackets(texts: Sequence[str]) -> str:
    said = ", ".join(filter(None, texts))
    return f" ({said})" if said else ""


def _say_unknown(error: BaseException, as_json: bool) -> None:
    """What went wrong, in the form that was asked for; a standard output that is gone hears nothing, and the exit code still says it."""
    if isinstance(error, click.ClickException):
        error = UsageError(error.format_message(), "see edge-agent health --help")
    known = str(error) if isinstance(error, EdgeAgentError) else f"{type(error).__name__}: {error}"
    try:
        _say(json.dumps({"status": "UNKNOWN", "checks": [], "detail": known}) if as_json else status_line(Status.UNKNOWN, known))
        sys.stdout.flush()
    except Exception:
        _drop_stdout()


def _say(text: str) -> None:
    """Print, whatever the encoding of standard output."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding))


def _drop_stdout() -> None:
    """Python flushes standard output once more at its end, and would exit with 120 where that fails."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception:
        sys.stdout = None
