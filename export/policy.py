"""Which layers are frozen, fine-tuned or begin anew: the user's choices, resolved to every module of the network.

A choice names a module as `named_modules` does, or several by a glob (`features.12.*`), and holds for everything below it. `head` is the
last layer, unless a module of that name exists. The choices are taken in their order: the last one that reaches a module counts. What no
choice reaches is frozen: its numbers do not move, its batch normalisation keeps its statistics, its dropout stays open, so that while the
rest is trained it computes what it will compute on the device.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from edge_agent.errors import UsageError
from export.learned import Choice

FREEZE, FINETUNE, REINIT = "freeze", "finetune", "reinit"
HEAD = "head"
EVERYTHING = "*"
NAMED = 3  # near names in a hint


@dataclass(frozen=True)
class Policy:
    """What happens to each module.

    Attributes:
        choices: as the user gave them.
        actions: name of each module → "freeze", "finetune" or "reinit"; the network itself is "".
        last_layer: name of the network's last layer.
    """

    choices: tuple[Choice, ...]
    actions: Mapping[str, str]
    last_layer: str

    @property
    def new_task(self) -> bool:
        """Whether the last layer begins anew: then it has as many rows as there are labels, whatever the weights had."""
        return self.actions[self.last_layer] == REINIT

    def action(self, name: str) -> str:
        """What happens to a module; one that was not known when the choices were resolved stays frozen."""
        return self.actions.get(name, FREEZE)

    def trains(self, module: nn.Module) -> bool:
        """Whether any parameter is trained."""
        return next(self.trained(module), None) is not None

    def trained(self, module: nn.Module) -> Iterator[tuple[str, nn.Parameter, str]]:
        """Name, parameter and action of everything that is trained; what a frozen module shares with another stays frozen.

        Args:
            module: the network.
        """
        frozen = {id(number) for name, part in module.named_modules() if self.action(name) == FREEZE for number in _own(part)}
        seen = set(frozen)
        for name, part in module.named_modules():
            for own, number in part.named_parameters(recurse=False):
                if id(number) not in seen:
                    seen.add(id(number))
                    yield f"{name}.{own}" if name else own, number, self.action(name)

    def set_modes(self, module: nn.Module, training: bool) -> None:
        """Put what is trained into training mode, and everything else into evaluation mode.

        Args:
            module: the network.
            training: False: everything in evaluation mode.
        """
        for name, part in module.named_modules():
            part.training = training and self.action(name) != FREEZE


def resolve(module: nn.Module, choices: Sequence[Choice], last_layer: str) -> Policy:
    """Hold the choices against the network.

    Args:
        module: the network; its numbers are not looked at.
        choices: in the order of the command line.
        last_layer: name of its last layer.

    Returns:
        The policy.

    Raises:
        UsageError: a choice reaches no module, or nothing that could be trained.
    """
    names = [name for name, _ in module.named_modules()]
    actions = dict.fromkeys(names, FREEZE)
    for choice in choices:
        reached = _reached(choice, names, last_layer)
        if choice.action != FREEZE and not any(_own(module.get_submodule(name)) for name in reached):
            found = f"--{choice.action} {choice.layers} reaches {_some(reached)}, which has no parameters"
            raise UsageError(found, f"name a layer with numbers, such as {last_layer}")
        actions |= dict.fromkeys(reached, choice.action)
    return Policy(tuple(choices), actions, last_layer)


def cover(module: nn.Module, policy: Policy) -> tuple[str, ...]:
    """The fewest names that cover what is trained; `*` where that is the whole network.

    Args:
        module: the network.
        policy: of its layers.
    """
    trained = {id(number) for _, number, _ in policy.trained(module)}
    return covering(module, frozenset(trained))


def covering(module: nn.Module, numbers: frozenset[int]) -> tuple[str, ...]:
    """The fewest module names that cover parameters.

    Args:
        module: the network.
        numbers: `id` of each of the parameters.
    """
    found: list[str] = []
    for name, part in module.named_modules():
        own, below = _own(part), list(part.parameters())
        if any(not part_of or name.startswith(f"{part_of}.") for part_of in found) or not below:
            continue
        if all(id(number) in numbers for number in below) or any(id(number) in numbers for number in own):
            found.append(name)
    return tuple(name or EVERYTHING for name in found)


def _reached(choice: Choice, names: Sequence[str], last_layer: str) -> list[str]:
    pattern = last_layer if choice.layers == HEAD and HEAD not in names else choice.layers
    matched = [name for name in names if (name and name == pattern) or (pattern and fnmatchcase(name, pattern))]
    if not matched:
        near = difflib.get_close_matches(choice.layers, [HEAD, *names[1:]], n=NAMED, cutoff=0.3)
        hint = f"nearest names: {', '.join(near)}" if near else f"the first names are {_some(names[1:])}"
        raise UsageError(f"--{choice.action} {choice.layers!r} is no layer of the network", f"{hint}; or {HEAD}, or a glob")
    if "" in matched:
        return list(names)
    return [name for name in names if any(name == top or name.startswith(f"{top}.") for top in matched)]


def _own(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters(recurse=False))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
