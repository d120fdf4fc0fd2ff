"""Networks that torchvision does not have: `--model package.module:factory`, a function or class that makes an `nn.Module`.

A factory that takes `num_classes` is told how many; any other is called without arguments. The current directory is searched for the
package first, as `python -m` does.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

from torch import nn

from edge_agent.errors import InputError, UsageError
from export.untraceable import place_of

CLASSES = "num_classes"
PROBE_CLASSES = 2  # where only the names of the layers are asked for
HINT = "give --model package.module:factory, a function without arguments, or with num_classes, that returns the network"


def is_factory(name: str) -> bool:
    """Whether `--model` names a factory, not a network of torchvision."""
    return ":" in name


def find(name: str) -> Callable[..., object]:
    """The factory of a name.

    Raises:
        UsageError: not of the form `package.module:factory`, or the module has no such function.
        InputError: the module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise UsageError(f"--model {name!r} is not of the form package.module:factory", HINT)
    module = _imported(name, module_name)
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, [known for known in dir(found) if not known.startswith("_")], n=3, cutoff=0.4)
            hint = f"nearest names: {', '.join(near)}" if near else HINT
            raise UsageError(f"--model {name}: {module_name} has no {part!r}", hint)
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"--model {name} is a {type(found).__name__}, expected a function or class that makes the network", HINT)
    return found


def takes_classes(name: str) -> bool:
    """Whether a factory can be told the number of classes.

    Raises:
        UsageError: it needs other arguments, or is not found.
        InputError: its module cannot be imported.
    """
    try:
        parameters = inspect.signature(find(name)).parameters.values()
    except (TypeError, ValueError):  # written in C: nothing is known
        return False
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in variable and p.name != CLASSES]
    if needed:
        raise UsageError(f"--model {name} needs the arguments {', '.join(needed)}, expected none but {CLASSES}", HINT)
    return any(p.name == CLASSES and p.kind is not inspect.Parameter.POSITIONAL_ONLY for p in parameters)


def make(name: str, classes: int | None) -> nn.Module:
    """Call a factory.

    Args:
        name: `package.module:factory`.
        classes: how many; None: only the names of the layers matter.

    Returns:
        The network, in evaluation mode.

    Raises:
        UsageError: it is not found, or needs other arguments.
        InputError: it fails, or what it returns is no network.
    """
    factory, given = find(name), {CLASSES: classes or PROBE_CLASSES} if takes_classes(name) else {}
    try:
        found = factory(**given)
    except Exception as error:
        raise InputError(f"--model {name} failed with {_reason(error)}", "call it in Python first") from None
    if not isinstance(found, nn.Module):
        raise InputError(f"--model {name} returned {type(found).__name__}, expected a torch.nn.Module", HINT)
    return found.eval()


def _imported(name: str, module_name: str) -> object:
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name is not None and f"{module_name}.".startswith(f"{error.name}.")
        if missing:
            hint = f"is it installed, or does it lie below {here}?"
            raise InputError(f"--model {name}: there is no module {error.name!r}", hint) from None  # type: ignore[attr-defined]
        raise InputError(f"--model {name}: {module_name} cannot be imported: {_reason(error)}", "import it in Python first") from None
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _reason(error: Exception) -> str:
    said = (str(error) or "no message").splitlines()[0][:160]
    frame = place_of(error, Path(__file__).parent)
    where = f" at {Path(frame.filename).name}, line {frame.lineno}" if frame is not None else ""
    return f"{type(error).__name__}: {said}{where}"
