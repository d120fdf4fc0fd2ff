"""The settings file: TOML, read whole; who may say what in it is in `settings.py` and `health_settings.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from edge_agent.errors import UsageError


def read_settings_file(file: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a settings file.

    Args:
        file: its path.

    Returns:
        Names and values at the top level; tables as dictionaries.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    path = Path(file)
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"settings file {path} cannot be read: {error}", "give a TOML file of name = value lines") from None
