"""A bounded lane: a few threads, a few places to wait, and a clear no for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edge_agent.service.problems import busy, stopping

Found = TypeVar("Found")


class Lane:
    """Runs work in threads of its own, off the event loop; used from one event loop alone.

    Attributes:
        name: what it does, in the plural; for messages and metrics.
        under_way: how much is running or waiting.
        refused: how much was refused because all places were taken.
        is_open: whether it takes something new.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        """Make the lane; threads start with the first work.

        Args:
            name: what it does, in the plural.
            threads: how much runs at a time.
            waiting: how much may wait beside that.
        """
        self.name, self.under_way, self.refused = name, 0, 0
        self._places = threads + waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"edge-agent-{name}")
        self.is_open = True

    async def run(self, work: Callable[[], Found], always: bool = False) -> Found:
        """Run one piece of work to its end, also when nobody waits for it any more.

        Args:
            work: blocks.
            always: whether it may wait where all places are taken; for the service's own.

        Returns:
            What the work returned.

        Raises:
            Problem: all places are taken, or the lane is closed: 503; the work was not begun.
        """
        if not self.is_open:
            raise stopping()
        if self.under_way >= self._places and not always:
            self.refused += 1
            raise busy(self.name)
        self.under_way += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Take nothing new; what is under way goes on to its end."""
        self.is_open = False

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while self.under_way:
            await asyncio.sleep(0.01)

    def shut(self) -> None:
        """End the threads; nothing may be under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, future: asyncio.Future[Found]) -> None:
        self.under_way -= 1
        if not future.cancelled():
            future.exception()  # looked at: whoever asked may have gone
