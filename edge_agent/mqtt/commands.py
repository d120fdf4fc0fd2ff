"""What a sender of `correct` and `undo` says, checked once: a payload becomes a command, or one error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import InputError

COMMAND_BYTES = 16 * 1024
ID_CHARACTERS = 128
_TEXT_CHARACTERS = 1024
_PRESSED = (b"", b"PRESS")  # a button's


@dataclass(frozen=True)
class Correct:
    """Teach a picture's label.

    Attributes:
        command_id: names the command, so that it is carried out once however often it is delivered; None for one without a name.
        sample_id: of a prediction, or of a picture in the queue.
        label: the right one.
        new_label: whether a label that does not exist is added.
        force: whether a picture that is right already is remembered, and what the guard refuses accepted.
    """

    command_id: str | None
    sample_id: str
    label: str
    new_label: bool
    force: bool


@dataclass(frozen=True)
class Undo:
    """Take a correction back: the one with this id, or the last one; `command_id` as for `Correct`."""

    command_id: str | None
    id: int | None


def read_correct(payload: bytes) -> Correct:
    """The command in a payload `{"sample_id", "label"}`, and perhaps `"command_id"`, `"new_label"`, `"force"`.

    Raises:
        InputError: it is none.
    """
    facts = _object(payload, ("command_id", "sample_id", "label", "new_label", "force"))
    texts = _text(facts, "sample_id"), _text(facts, "label")
    return Correct(_command_id(facts), *texts, _flag(facts, "new_label"), _flag(facts, "force"))


def read_undo(payload: bytes) -> Undo:
    """The command in a payload: nothing, a button's PRESS, or an object with perhaps `"command_id"` and `"id"`.

    Raises:
        InputError: it is none.
    """
    if payload in _PRESSED:
        return Undo(None, None)
    facts = _object(payload, ("command_id", "id"))
    number = facts.get("id")
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**63):
        raise InputError(f"id is {_short(number)}, expected the number of a correction", "leave it out for the last one")
    return Undo(_command_id(facts), number)


def command_id_of(payload: bytes) -> str | None:
    """The name of a command that may be none, for the answer to it."""
    try:
        return _command_id(_parsed(payload))
    except InputError:
        return None


def _object(payload: bytes, known: Sequence[str]) -> dict[str, Any]:
    facts = _parsed(payload)
    unknown = sorted(set(facts) - set(known))
    if unknown:  # a misspelt name would be ignored in silence
        raise InputError(f"the command has an unknown field {_short(unknown[0])}", f"use {', '.join(known)}")
    return facts


def _parsed(payload: bytes) -> dict[str, Any]:
    if len(payload) > COMMAND_BYTES:
        raise InputError(f"the command has {len(payload)} bytes, expected at most {COMMAND_BYTES}", "send one small JSON object")
    try:
        found = json.loads(payload.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_without_doubles)
    except UnicodeDecodeError:
        raise InputError("the command is not UTF-8", "send one JSON object") from None
    except (ValueError, RecursionError) as error:
        reason = "it is too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise InputError(f"the command is no JSON: {reason}", "send one JSON object") from None
    if not isinstance(found, dict):
        raise InputError(f"the command is {_short(found)}, expected a JSON object", "send one JSON object")
    return found


def _command_id(facts: dict[str, Any]) -> str | None:
    found = facts.get("command_id")
    if found is not None and (not isinstance(found, str) or not 0 < len(found) <= ID_CHARACTERS or not found.isprintable()):
        expected = f"1 to {ID_CHARACTERS} printable characters"
        raise InputError(f"command_id is {_short(found)}, expected {expected}", "give each command a name of its own")
    return found


def _text(facts: dict[str, Any], name: str) -> str:
    found = facts.get(name)
    if not isinstance(found, str) or len(found) > _TEXT_CHARACTERS:
        shown = "missing" if name not in facts else _short(found)
        raise InputError(f"{name} is {shown}, expected text of up to {_TEXT_CHARACTERS} characters", 'send {"sample_id": …, "label": …}')
    return found


def _flag(facts: dict[str, Any], name: str) -> bool:
    found = facts.get(name, False)
    if not isinstance(found, bool):
        raise InputError(f"{name} is {_short(found)}, expected true or false", "leave it out for false")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
