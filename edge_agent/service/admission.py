"""Who may ask: the Host header against an exact list, and `Authorization: Bearer` for all but what holds no data."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from edge_agent.service.failures import Failures
from edge_agent.service.problems import Problem
from edge_agent.service.token import LONGEST, Token, digest_of

SHELL = "/assets/"
OPEN = ("/livez", "/")
"""Paths that need no token, beside those below `SHELL`: they hold no data."""


class Admission:
    """Passes a request on, or raises why not; comes before the routes, so an unknown path tells a stranger nothing."""

    def __init__(self, app: ASGIApp, token: Token, hosts: Collection[str], failures: Failures, note: Callable[[str], None]) -> None:
        """Bind what decides.

        Args:
            app: what comes next.
            token: the one that is right.
            hosts: what the Host header may be, in small letters, with the port where it is not 80.
            failures: counts wrong tokens.
            note: told in words of an address that has to wait now.
        """
        self._app, self._token, self._hosts, self._failures, self._note = app, token, frozenset(hosts), failures, note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass.

        Raises:
            Problem: 400 or 421 for the Host header, 401 without the token, 429 after too many wrong ones.
        """
        self._check_host(_values(scope, b"host"))
        if not is_open(scope["path"]):
            self._check_token(_values(scope, b"authorization"), _address(scope))
        await self._app(scope, receive, send)

    def _check_host(self, values: list[bytes]) -> None:
        if len(values) != 1:
            raise Problem(400, "host", f"the request has {len(values)} Host headers, expected one", "send one Host header")
        if values[0].decode("latin-1").lower() not in self._hosts:
            hint = "use one of the names that the service was started with; --allow-host adds one"
            raise Problem(421, "host", "the Host header names no host of this service", hint)

    def _check_token(self, values: list[bytes], address: str) -> None:
        wait_s = self._failures.wait_s(address)
        if wait_s:
            raise _too_many(wait_s)
        scheme, _, sent = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
        if scheme.lower() != b"bearer" or not sent.strip():
            raise _unauthorized("this needs a token")
        digest = digest_of(sent.strip()[: LONGEST + 1])
        if self._token.fits(digest):
            return
        wait_s = self._failures.wrong(address, digest)
        if not wait_s:
            raise _unauthorized("the token is wrong")
        self._note(f"wrong tokens from {address or 'the socket'}: it has to wait now")
        raise _too_many(wait_s)


def is_open(path: str) -> bool:
    """Whether a path needs no token."""
    return path in OPEN or path.startswith(SHELL)


def _unauthorized(message: str) -> Problem:
    headers = {"www-authenticate": 'Bearer realm="edge-agent"'}
    return Problem(401, "unauthorized", message, "send Authorization: Bearer and the token that the service was started with", headers)


def _too_many(wait_s: float) -> Problem:
    headers = {"retry-after": str(max(1, math.ceil(wait_s)))}
    return Problem(429, "too_many_failures", "too many wrong tokens from this address", "wait, then send the right one", headers)


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _address(scope: Scope) -> str:
    """The client's address; of IPv6 its network, which one client has to itself; "" for a Unix socket."""
    client = scope.get("client")
    if not client or not client[0]:
        return ""
    try:
        address = ipaddress.ip_address(str(client[0]).partition("%")[0])
    except ValueError:
        return ""
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
