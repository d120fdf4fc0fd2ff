"""The history with what has become of each correction: does it still act, and if not, why?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_agent.errors import StateError
from edge_agent.head import Evidence
from edge_agent.journal import Entry, Journal
from edge_agent.keeper import HeadKeeper
from edge_agent.remembering import memories, unrepeated
from edge_agent.settings import Settings


@dataclass(frozen=True)
class Recorded(Entry):
    """One correction of the history.

    Attributes:
        standing: "acting" (a row of its own), "merged" (older ones of a label share a row), "superseded" (a later correction of the same
            picture stands; this one comes back when that is undone), "forgotten" (past the capacity), "undone", "refused", "not_needed"
            (the picture was right), or "unknown" (the state is damaged: `edge-agent health` says where).
        together_with: ids of the corrections that share its row.
    """

    standing: str
    together_with: tuple[int, ...]


def recorded(keeper: HeadKeeper, journal: Journal, settings: Settings) -> tuple[Recorded, ...]:
    """Every correction, the first one first.

    Args:
        keeper: knows the active corrections.
        journal: of the same state.
        settings: which contexts are the same picture, and the capacity.

    Returns:
        The journal's entries with their standing.

    Raises:
        StateError: the state cannot be read; a damaged correction alone leaves the standings unknown.
    """
    entries = journal.history()
    try:
        evidence = keeper.evidence(keeper.current())
        standings = what_acts(evidence, keeper.capacity, settings.same_picture)
    except StateError:
        standings = {}
    return tuple(_with_standing(entry, standings) for entry in entries)


def what_acts(evidence: Sequence[Evidence], capacity: int, same_picture: float) -> dict[int, tuple[str, tuple[int, ...]]]:
    """The standing of each active correction, and which share its row: the learner's own choice, asked again.

    Args:
        evidence: the active corrections in the order in which they were made.
        capacity: rows of the head.
        same_picture: two contexts whose cosine is above this are the same picture.

    Returns:
        For each id its standing and the ids of the others in its row.
    """
    stand = list(unrepeated(evidence, capacity, same_picture))
    found: dict[int, tuple[str, tuple[int, ...]]] = {e.id: ("superseded", ()) for e in evidence}
    found |= {e.id: ("forgotten", ()) for e in stand}
    for memory in memories(stand, capacity):
        standing = "acting" if len(memory.ids) == 1 else "merged"
        found |= {number: (standing, tuple(sorted(set(memory.ids) - {number}))) for number in memory.ids}
    return found


def _with_standing(entry: Entry, active: Mapping[int, tuple[str, tuple[int, ...]]]) -> Recorded:
    if entry.active:
        standing, others = active.get(entry.id, ("unknown", ()))
    elif entry.undone_at is not None:
        standing, others = "undone", ()
    else:
        standing, others = "refused" if entry.verdict == "refused" else "not_needed", ()
    return Recorded(**vars(entry), standing=standing, together_with=others)
