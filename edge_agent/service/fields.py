"""What a client says, checked once: query, JSON and form fields become values of the type that is expected, or one error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from edge_agent.service.bodies import Bodies, media_type
from edge_agent.service.problems import Problem

JSON_BYTES = 64 * 1024
TEXT_CHARACTERS = 1024
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


class Fields:
    """Named values of a request; `close` refuses what nobody asked for."""

    def __init__(self, values: Mapping[str, object], what: str) -> None:
        """Take them.

        Args:
            values: as they came: text from a query or form, anything from JSON.
            what: they are, for messages: "query", "body", "form".
        """
        self._values, self._what, self._known = dict(values), what, list[str]()

    def text(self, name: str) -> str:
        """A text that must be there.

        Raises:
            Problem: it is missing, no text, or very long.
        """
        value = self._take(name)
        if value is None:
            raise _wrong(self._what, name, "is missing", "text")
        if not isinstance(value, str) or len(value) > TEXT_CHARACTERS:
            raise _wrong(self._what, name, f"is {_short(value)}", f"text of up to {TEXT_CHARACTERS} characters")
        return value

    def text_or_none(self, name: str) -> str | None:
        """A text that may be missing.

        Raises:
            Problem: it is no text, or very long.
        """
        return None if self._values.get(name) is None and self._take(name) is None else self.text(name)

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no.

        Raises:
            Problem: it is neither.
        """
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and self._what != "body" and value.lower() in (*_TRUE, *_FALSE):
            return value.lower() in _TRUE
        raise _wrong(self._what, name, f"is {_short(value)}", "true or false")

    def number(self, name: str, default: int | None, low: int, high: int) -> int | None:
        """A whole number within a range.

        Raises:
            Problem: it is none, or outside.
        """
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, str) and self._what != "body" and value.isascii() and value.isdecimal() and len(value) <= 18:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _wrong(self._what, name, f"is {_short(value)}", f"a whole number from {low} to {high}")
        return value

    def close(self) -> None:
        """Refuse names that were not asked for: a misspelt one would be ignored in silence.

        Raises:
            Problem: there is one.
        """
        unknown = sorted(set(self._values) - set(self._known))
        if unknown:
            known = f"use {', '.join(self._known)}" if self._known else "send none"
            raise Problem(400, "input", f"the {self._what} has an unknown field {_short(unknown[0])}", known)

    def _take(self, name: str) -> object:
        self._known.append(name)
        return self._values.get(name)


def query(request: Request) -> Fields:
    """The query's fields.

    Raises:
        Problem: one is there twice.
    """
    pairs = request.query_params.multi_items()
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Problem(400, "input", "the query has a field twice", "send each field once")
    return Fields(values, "query")


async def json_body(request: Request, bodies: Bodies) -> Fields:
    """The fields of a JSON object; no body at all is an empty one.

    Raises:
        Problem: it is too large, no JSON, or no object.
    """
    kind = media_type(request)
    if kind and kind != "application/json":
        raise Problem(415, "media_type", f"the body is {kind[:80]!r}, expected application/json", "send Content-Type: application/json")
    body = await bodies.read(request, JSON_BYTES)
    if not body:
        return Fields({}, "body")
    if not kind:
        raise Problem(415, "media_type", "the body has no type, expected application/json", "send Content-Type: application/json")
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        reason = str(error) if not isinstance(error, (UnicodeDecodeError, RecursionError)) else "it is not UTF-8, or too deep"
        raise Problem(400, "input", f"the body is no JSON: {reason[:200]}", "send one JSON object") from None
    if not isinstance(found, dict):
        raise Problem(400, "input", f"the body is {_short(found)}, expected a JSON object", "send one JSON object")
    return Fields(found, "body")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _wrong(what: str, name: str, found: str, expected: str) -> Problem:
    return Problem(400, "input", f"{name} of the {what} {found}, expected {expected}", "see /openapi.json")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
