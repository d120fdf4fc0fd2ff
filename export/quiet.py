"""Silence around the exporters, which log, warn and print whatever the user does."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

STDERR = 2


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings, log lines and prints of the libraries called inside, compiled ones included; an exception passes through.

    Not for threads: warnings, logging and the standard streams belong to the process.
    """
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), _closed_stderr():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)


@contextlib.contextmanager
def _closed_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: compiled libraries do not know `sys.stderr`."""
    try:
        kept = os.dup(STDERR)
    except OSError:  # the process has none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(nowhere)
        os.close(kept)
