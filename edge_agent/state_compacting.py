"""`edge-agent state compact`: what the settings do not keep any more is dropped, and its room given back to the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import StateError
from edge_agent.journal import Journal
from edge_agent.state_check import size_of
from edge_agent.state_reader import read_facts


@dataclass(frozen=True)
class Compacted:
    """What a state was, and is.

    Attributes:
        state: the directory.
        before_bytes, after_bytes: of the journal with its log.
        pictures, generations: how many were dropped.
    """

    state: str
    before_bytes: int
    after_bytes: int
    pictures: int
    generations: int


def compact_state(folder: Path, journal: Journal) -> Compacted:
    """Keep what the settings keep, corrections and all that acts included, and make the file as small as that.

    Args:
        folder: the state directory.
        journal: of it.

    Returns:
        The sizes.

    Raises:
        StateError: there is no state, it is damaged, of another artifact or cannot be written, or the disk has no room for a copy.
        StateBusyError: another process holds it for longer than `wait_ms`.
    """
    if journal.stamp() is None:
        raise StateError(f"there is no state in {folder}", "name one with --state")
    before_bytes, before = size_of(folder), journal.read(lambda connection: read_facts(connection, 0))
    with journal.writing() as writer:
        writer.drop()
    journal.vacuum()
    after = journal.read(lambda connection: read_facts(connection, 0))
    journal.close()
    dropped = (before.pictures - after.pictures, before.generations - after.generations)
    return Compacted(str(folder), before_bytes, size_of(folder), *dropped)
