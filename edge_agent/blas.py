"""numpy's products on one thread: of this size more threads cost more than they bring, and equal bits need equal sums."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from threadpoolctl import ThreadpoolController


class Blas:
    """The libraries that multiply for numpy in this process."""

    def __init__(self) -> None:
        """Look which are loaded; numpy has to be."""
        self._controller = ThreadpoolController().select(user_api="blas")

    def on_one_thread(self) -> AbstractContextManager[object]:
        """Hold them to one thread inside a block.

        Most processes start with one: the command line and the service see to it. To look first spares them a tenth of a millisecond.
        """
        if all(library.num_threads == 1 for library in self._controller.lib_controllers):
            return nullcontext()
        limited: AbstractContextManager[object] = self._controller.limit(limits=1)
        return limited
