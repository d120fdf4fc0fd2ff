"""The network's parts with their parameters, and what was done with each before the network was frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

FROZEN = "freeze"
MOST_PARTS = 32


@dataclass(frozen=True)
class Part:
    """A part of the network.

    Attributes:
        name: as `named_modules` has it.
        kind: name of its class.
        parameters: how many numbers it has.
        finetuned, reinitialised: how many of them were trained from the given ones, and from random ones; the rest stayed as given.
    """

    name: str
    kind: str
    parameters: int
    finetuned: int
    reinitialised: int

    @property
    def frozen(self) -> int:
        """How many numbers stayed as they were given."""
        return self.parameters - self.finetuned - self.reinitialised

    @property
    def action(self) -> str:
        """In a word or two."""
        found = [word for word, count in (("finetuned", self.finetuned), ("reinitialised", self.reinitialised)) if count]
        if not found:
            return "frozen"
        return found[0] if self.frozen == 0 and len(found) == 1 else f"partly {' and '.join(found)}"


def parts(module: nn.Module, actions: Mapping[str, str]) -> tuple[Part, ...]:
    """The network's parts in its own order: as deep as fits into a table.

    Args:
        module: the network.
        actions: name of each module → "freeze", "finetune" or "reinit"; a name that is missing is frozen.

    Returns:
        Parts that together have every parameter once; at most 32 unless the first level alone has more.
    """
    level = _children("", module)
    while deeper := _opened(level):
        if len(deeper) > MOST_PARTS:
            break
        level = deeper
    seen: set[int] = set()
    return tuple(part for one in level if (part := _counted(*one, actions, seen)).parameters)


Place = tuple[str, nn.Module, bool]  # name, module, and whether it is meant with everything below it


def _children(name: str, part: nn.Module) -> list[Place]:
    """What a module consists of: its children, and the numbers of its own beside them."""
    found = [(f"{name}.{child}".lstrip("."), inner, True) for child, inner in part.named_children() if _count(inner)]
    return [*found, (name, part, False)] if any(True for _ in part.parameters(recurse=False)) else found


def _opened(level: list[Place]) -> list[Place]:
    """The level with its largest part that can be opened replaced by what it consists of; empty where none can be."""
    able = [place for place, (_, part, whole) in enumerate(level) if whole and _can_open(part)]
    if not able:
        return []
    place = max(able, key=lambda one: _count(level[one][1]))
    return [*level[:place], *_children(*level[place][:2]), *level[place + 1 :]]


def _can_open(part: nn.Module) -> bool:
    """Containers, and what is little more than the container in it; a block is one part, however many layers it has."""
    if _is_container(part):
        return _count(part) > 0
    return any(_is_container(inner) and 2 * _count(inner) > _count(part) > 0 for inner in part.children())


def _is_container(part: nn.Module) -> bool:
    return isinstance(part, (nn.Sequential, nn.ModuleList, nn.ModuleDict))


def _count(part: nn.Module) -> int:
    return sum(number.numel() for number in part.parameters())


def _counted(name: str, part: nn.Module, whole: bool, actions: Mapping[str, str], seen: set[int]) -> Part:
    counts = {FROZEN: 0, "finetune": 0, "reinit": 0}
    for inner_name, inner in part.named_modules() if whole else [("", part)]:
        full = ".".join(filter(None, (name, inner_name)))
        for number in inner.parameters(recurse=False):
            if id(number) not in seen:
                seen.add(id(number))
                counts[actions.get(full, FROZEN)] += number.numel()
    return Part(name or type(part).__name__, type(part).__name__, sum(counts.values()), counts["finetune"], counts["reinit"])
