"""A file that is there whole or not at all: written beside its name, then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from edge_agent.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the path and rename, so that nobody ever finds half a file.

    Args:
        path: in a folder that exists; anybody may read it afterwards.
        content: all of it.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # a collector of metrics is another user
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", "name a file in a folder that exists and can be written") from None
