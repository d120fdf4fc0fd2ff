"""One row of the route table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from edge_agent.service.parts import Parts

Handler = Callable[[Parts, Request], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """One method of one path.

    Attributes:
        method: of HTTP.
        path: with its parameters in braces.
        handler: answers.
        answer: name of the answer's schema in `schemas`; "picture" or "text" where it is no JSON.
        body: name of the body's schema, or "picture", or "" where there is none.
        query: names of the query's fields, as `schemas` describes them.
        status: of a good answer.
        errors: statuses that this endpoint answers with, beside those of every endpoint.
    """

    method: str
    path: str
    handler: Handler
    answer: str
    body: str = ""
    query: tuple[str, ...] = ()
    status: int = 200
    errors: tuple[int, ...] = ()
