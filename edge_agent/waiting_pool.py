"""What waits, kept in memory beside the journal: of what was read before only new rows are read again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.journal import Journal
from edge_agent.journal_queue import WaitingRow, answered_contexts, waiting_places, waiting_rows
from edge_agent.runtime import Seen, stacked


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows that wait, as they were at one moment of the journal.

    Attributes:
        moment: changes with every commit, of this process or another.
        rows: in the order in which they were offered.
        seen: what was seen in them, one row each; None where nothing waits.
        answered: `[N, K]`, contexts of those that were answered.
    """

    moment: object
    rows: tuple[WaitingRow, ...]
    seen: Seen | None
    answered: NDArray[np.float32]


class WaitingPool:
    """Keeps it up to date; its user holds the journal's lock."""

    def __init__(self, journal: Journal, directions: int) -> None:
        """Bind the journal; `directions` is the length of a context."""
        self._journal, self._directions = journal, directions
        self._pool: Pool | None = None

    def current(self) -> Pool:
        """What waits now.

        Raises:
            StateError: the state cannot be read.
        """
        moment = self._journal.stamp(), self._journal.read(lambda connection: connection.total_changes if connection else 0)
        pool = self._pool
        if pool is not None and pool.moment == moment:
            return pool
        places = self._journal.read(waiting_places)
        kept = pool.rows if pool is not None else ()
        known = {row.place: row for row in kept if places.get(row.place) == row.sample_id}  # an imported state has other ones there
        read = self._journal.read(lambda connection: waiting_rows(connection, [place for place in places if place not in known]))
        known |= {row.place: row for row in read}
        rows = tuple(known[place] for place in places if place in known)
        answered = self._journal.read(lambda connection: answered_contexts(connection, self._directions))
        seen = stacked([row.seen for row in rows]) if rows else None
        self._pool = Pool(moment, rows, seen, answered)
        return self._pool
