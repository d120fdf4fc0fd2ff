"""`Idempotency-Key`: a client that did not hear the answer may ask again, and what it asked for is done once."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from starlette.requests import Request

from edge_agent.agent import EdgeAgent
from edge_agent.service.problems import Problem

HEADER = "idempotency-key"
LONGEST = 128


def key_of(request: Request) -> str | None:
    """The request's name, or None where it has none.

    Raises:
        Problem: it is no name.
    """
    key = request.headers.get(HEADER)
    if key is not None and not (1 <= len(key) <= LONGEST and key.isascii() and key.isprintable()):
        raise Problem(400, "input", f"{HEADER} is not 1 to {LONGEST} printable ASCII characters", "send a random one for each request")
    return key


def once(agent: EdgeAgent, key: str | None) -> AbstractContextManager[None]:
    """Around the one call that corrects or takes back: see `EdgeAgent.once`; without a key the call is made as often as it is asked for."""
    return nullcontext() if key is None else agent.once(key)
