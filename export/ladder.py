"""What could be trained: nothing, the head, the head and more and more of the blocks before it, everything, everything from scratch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx, nn

from export import halves
from export.advice import NOTHING, SCRATCH
from export.learned import Choice
from export.policy import EVERYTHING, HEAD, covering

STEP = 1.5  # each candidate trains at least so many times the parameters of the one before
REACH = 4.0  # within so many times, the one that is named most shortly is taken
MOST_SHARE = 0.8  # of all parameters: more is everything
NAMED = 3  # layers in a candidate's name
MOST = 4  # between the head and everything


@dataclass(frozen=True)
class Candidate:
    """What could be trained.

    Attributes:
        name: for people.
        choices: for `edge-export build`, in order.
        parameters: how many are trained.
    """

    name: str
    choices: tuple[Choice, ...]
    parameters: int

    @property
    def options(self) -> tuple[str, ...]:
        """The same as options of the command line."""
        return tuple(word for choice in self.choices for word in (f"--{choice.action}", choice.layers))


def ladder(module: nn.Module, graph: fx.GraphModule, last_layer: str, new_task: bool) -> tuple[Candidate, ...]:
    """The candidates, from the fewest to the most parameters.

    Args:
        module: the network.
        graph: the same, traced for training.
        last_layer: its name.
        new_task: whether the last layer begins anew in all of them: then training nothing is none.
    """
    anew = (Choice("reinit", last_layer),) if new_task else ()
    head = {id(number): number.numel() for number in module.get_submodule(last_layer).parameters()}
    whole = {id(number): number.numel() for number in graph.parameters()}
    found = [] if new_task else [Candidate(NOTHING, (), 0)]
    found.append(Candidate(HEAD, anew or (Choice("finetune", last_layer),), sum(head.values())))
    for above in _steps(module, _above(graph), sum(head.values()), sum(whole.values())):
        names = covering(module, frozenset(above))
        choices = tuple(Choice("finetune", name) for name in names)
        found.append(Candidate(_title(names, last_layer), (*choices, *anew), sum(above.values())))
    found.append(Candidate("all", (Choice("finetune", EVERYTHING), *anew), sum(whole.values())))
    found.append(Candidate(SCRATCH, (Choice("reinit", EVERYTHING),), sum(whole.values())))
    return tuple(found)


def _title(names: tuple[str, ...], last_layer: str) -> str:
    """What is trained besides the head, in few words."""
    others = [name for name in names if name != last_layer]
    return f"{HEAD} and {', '.join(others)}" if len(others) <= NAMED else f"{HEAD} and all from {others[0]} on"


def _above(graph: fx.GraphModule) -> list[dict[int, int]]:
    """For each place where the network can be opened, from the last: `id` and size of each parameter above it."""
    nodes: list[fx.Node] = list(graph.graph.nodes)
    position = {node: place for place, node in enumerate(nodes)}
    depends = halves.depending(graph)
    reads = {node: position[node] for node in nodes if node in depends}
    for node in reversed(nodes):
        if node not in depends and node.op != "placeholder":
            reads[node] = min((reads[user] for user in node.users if user in reads), default=len(nodes))
    owned = [(reads[node], number) for node in nodes if node in reads for number in halves.parameters_of(graph, node)]
    places = [position[node] for node in halves.openings(graph)]
    return [{id(number): number.numel() for place, number in owned if place > opening} for opening in reversed(places)]


def _steps(module: nn.Module, aboves: list[dict[int, int]], head: int, whole: int) -> list[dict[int, int]]:
    """A few of them: each trains at least half as much again as the one before, and is named shortly."""
    found: list[dict[int, int]] = []
    last = head
    while len(found) < MOST:
        wanted = [above for above in aboves if STEP * last <= sum(above.values()) <= min(REACH * last, MOST_SHARE * whole)]
        if not wanted:  # the next one is further away
            further = [above for above in aboves if STEP * last <= sum(above.values()) <= MOST_SHARE * whole]
            wanted = further[:1]
        if not wanted:
            break
        chosen = min(wanted, key=lambda above: (len(covering(module, frozenset(above))), sum(above.values())))
        found.append(chosen)
        last = sum(chosen.values())
    return found
