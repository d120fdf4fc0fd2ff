"""One call of a program from its command line: every error becomes one line on stderr, and an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

import click

from edge_agent.errors import EdgeAgentError, UsageError

UNEXPECTED = 70
_INTERRUPTED, _READER_GONE = 130, 141  # what a shell says of the signals 2 and 13


def run_command(command: click.Command, program: str, arguments: Sequence[str]) -> int:
    """Run a command and see that people read sentences.

    Args:
        command: click's, with an option `--debug` that shows tracebacks.
        program: its name.
        arguments: without the program's name; none at all asks for help.

    Returns:
        The exit code.

    Raises:
        Exception: whatever went wrong, with `--debug` alone.
    """
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")  # Pillow's; our own limit answers for it
    try:
        status = command.main(list(arguments) or ["--help"], prog_name=program, standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.UsageError as error:
        return report(UsageError(error.format_message(), f"see {error.ctx.command_path if error.ctx else program} --help"))
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except (BrokenPipeError, SystemExit):  # click makes the second out of the first
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: nothing more to say
        return _READER_GONE
    except EdgeAgentError as error:
        if "--debug" in arguments:
            raise
        return report(error)
    except Exception as error:
        if "--debug" in arguments:
            raise
        print(f"error: unexpected {type(error).__name__}: {error}; hint: run it again with --debug and report it", file=sys.stderr)
        return UNEXPECTED


def report(error: EdgeAgentError) -> int:
    """Print an error as one line on stderr; returns its exit code."""
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code
