"""The settings file: TOML, read whole; who may say what in it is in `settings.py`, and for each of its tables in a module of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from edge_agent.errors import UsageError

TABLES = ("health", "mqtt", "service")


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


def as_type_of(default: object, what: str, value: object, hint: str = "see edge-agent --help") -> Any:
    """A value of a settings file, the environment or a flag as the type of its default; text comes from the environment.

    Args:
        default: text, a number, or True or False.
        what: the setting's name in the message.
        value: as it was given.
        hint: where it is explained.

    Raises:
        UsageError: it cannot be one.
    """
    kind = type(default)
    if kind is bool and isinstance(value, str) and value.lower() in ("0", "1", "true", "false", "yes", "no"):
        return value.lower() in ("1", "true", "yes")
    if kind in (int, float) and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            number = kind(value)
        except (ValueError, OverflowError):
            number = None
        if number is not None and (isinstance(value, str) or number == value):
            return number
    elif kind in (str, bool) and isinstance(value, kind):
        return value
    raise UsageError(f"{what} is {value!r}, expected a {kind.__name__} such as {default!r}", hint)
