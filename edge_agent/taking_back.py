"""Taking corrections back: one transaction, and the head that never saw them."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.errors import InputError
from edge_agent.journal import Journal
from edge_agent.keeper import HeadKeeper
from edge_agent.results import Undo


def undo_one(keeper: HeadKeeper, journal: Journal, number: int | None) -> Undo:
    """Take back one correction.

    Args:
        keeper: solves and publishes.
        journal: of the same state.
        number: its id; None for the last one that is active.

    Returns:
        What was taken back, and the head that serves now.

    Raises:
        InputError: nothing to undo, an unknown id, or one that was taken back or refused before.
        StateError: the state cannot be written.
    """
    return _take_back(keeper, journal, lambda: (_chosen(journal, number),), "undo")


def undo_all(keeper: HeadKeeper, journal: Journal) -> Undo:
    """Take back every correction; the history and the added labels stay.

    Raises:
        InputError: nothing to take back.
        StateError: the state cannot be written.
    """
    return _take_back(keeper, journal, lambda: _every(journal), "reset")


def _every(journal: Journal) -> tuple[int, ...]:
    """All that are active now."""
    active = tuple(number for number, stands in journal.standing().items() if stands == "active")
    if not active:
        raise InputError("nothing to reset: no correction is active", "see edge-agent history")
    return active


def _chosen(journal: Journal, number: int | None) -> int:
    """The correction to take back: the one that was named, or the last one that is active now."""
    standing = journal.standing()
    active = [place for place, stands in standing.items() if stands == "active"]
    if number is None and not active:
        raise InputError("nothing to undo: no correction is active", "see edge-agent history")
    if number is not None and number not in active:
        faults = {"refused": "was refused", "undone": "was undone before"}
        raise InputError(f"correction {number} {faults.get(standing.get(number, ''), 'does not exist')}", "see edge-agent history")
    return active[-1] if number is None else number


def _take_back(keeper: HeadKeeper, journal: Journal, choose: Callable[[], tuple[int, ...]], cause: str) -> Undo:
    choose()  # before anything is opened for writing: what is refused changes nothing
    with journal.writing() as writer:
        numbers = choose()  # inside the transaction: another process may have been first
        writer.undo(numbers)  # first, so that a damaged one can be taken back: nothing below needs it then
        serving = keeper.current()
        evidence = tuple(e for e in keeper.evidence(serving) if e.id not in numbers)
        after = keeper.publish(writer, cause, evidence, serving.labels, keeper.solve(evidence, serving.labels))
    keeper.adopt(after)
    return Undo(numbers, after.generation, len(evidence), after.head.digest())
