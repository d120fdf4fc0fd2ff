"""Wrong tokens are counted for each address: guessing gets slow, and a client with an old token locks nobody out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.service.limits import ServiceLimits

ADDRESSES = 4096
"""How many are remembered; the one that has been quiet longest is forgotten first."""
_KNOWN = 32  # different wrong tokens that are remembered for an address


@dataclass
class _Address:
    """Tries that are left, as of a moment, for any wrong token and for guesses: tokens that were not seen before."""

    moment: float
    tries: float
    guesses: float
    known: OrderedDict[bytes, None] = field(default_factory=OrderedDict)


class Failures:
    """Two leaky buckets for each address.

    Every wrong token takes from the first; when that is empty, wrong tokens are answered with 429. Only tokens that were not seen before
    take from the second; when that is empty, no token of the address is looked at. So a program with an old token is slowed, and the others
    behind the same address (a proxy, this machine) are not; who guesses is stopped.
    """

    def __init__(self, limits: ServiceLimits, now: Callable[[], float]) -> None:
        """Bind the limits and a clock that never goes back, in seconds."""
        self._most, self._refill_s, self._now = limits.failures, limits.failure_s, now
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long no token of an address is looked at; 0 where it is."""
        found = self._current(address)
        return 0.0 if found is None or found.guesses >= 1 else (1 - found.guesses) * self._refill_s

    def wrong(self, address: str, digest: bytes) -> float:
        """Count a wrong token.

        Args:
            address: of the client.
            digest: names the token without holding it.

        Returns:
            How long the address should wait, in seconds; 0 for the first few.
        """
        found = self._current(address)
        if found is None:
            found = self._addresses[address] = _Address(self._now(), self._most, self._most)
            if len(self._addresses) > ADDRESSES:
                self._addresses.popitem(last=False)
        if digest not in found.known:
            found.known[digest] = None
            found.guesses -= 1
            if len(found.known) > _KNOWN:
                found.known.popitem(last=False)
        is_over = found.tries < 1
        found.tries = max(found.tries - 1, 0)
        return self._refill_s if is_over else 0.0

    def _current(self, address: str) -> _Address | None:
        """What is left for an address now; None where it has never failed."""
        found = self._addresses.get(address)
        if found is not None:
            moment = self._now()
            more = (moment - found.moment) / self._refill_s
            found.moment, found.tries = moment, min(found.tries + more, self._most)
            found.guesses = min(found.guesses + more, self._most)
            self._addresses.move_to_end(address)
        return found
