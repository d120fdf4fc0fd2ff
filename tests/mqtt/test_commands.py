"""A payload is a command or one error, whatever the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import InputError
from edge_agent.mqtt.commands import COMMAND_BYTES, Correct, Undo, command_id_of, read_correct, read_undo
from edge_agent.mqtt.topics import Topics

GOOD: dict[str, Any] = {"sample_id": "0123456789abcdef", "label": "frog"}


def as_bytes(facts: Any) -> bytes:
    return json.dumps(facts).encode()


def test_correct() -> None:
    assert read_correct(as_bytes(GOOD)) == Correct(None, GOOD["sample_id"], "frog", False, False)
    full = {**GOOD, "command_id": "a-1", "new_label": True, "force": True}
    assert read_correct(as_bytes(full)) == Correct("a-1", GOOD["sample_id"], "frog", True, True)


def test_undo() -> None:
    assert read_undo(b"") == read_undo(b"PRESS") == read_undo(b"{}") == Undo(None, None)
    assert read_undo(b'{"id": 7, "command_id": "x"}') == Undo("x", 7)


@pytest.mark.parametrize(
    "change",
    [
        {"sample_id": None}, {"sample_id": 7}, {"label": ["frog"]}, {"label": "x" * 2000}, {"new_label": "yes"}, {"force": 1},
        {"command_id": ""}, {"command_id": "x" * 129}, {"command_id": "a\nb"}, {"command_id": 7}, {"lable": "frog"},
    ],
)  # fmt: skip
def test_a_wrong_field(change: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        read_correct(as_bytes({**GOOD, **change}))
    assert next(iter(change)) in caught.value.message
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field(field: str) -> None:
    with pytest.raises(InputError, match=f"{field} is missing"):
        read_correct(as_bytes({name: value for name, value in GOOD.items() if name != field}))


@pytest.mark.parametrize("number", [0, -1, 2**63, True, 1.5, "7", [1]])
def test_an_id_that_is_none(number: Any) -> None:
    with pytest.raises(InputError, match="id is"):
        read_undo(as_bytes({"id": number}))


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xd8\xff\xe0 a picture", b"null", b"[]", b'"PRESS"', b"{", b'{"id": NaN}', b'{"id": 1, "id": 2}', b"[" * 10_000,
        b" " * COMMAND_BYTES + b"{}", b"press",
    ],
)  # fmt: skip
def test_what_is_no_command(payload: bytes) -> None:
    for read in (read_correct, read_undo):
        with pytest.raises(InputError) as caught:
            read(payload)
        assert len(str(caught.value)) < 400
    assert command_id_of(payload) is None


@given(st.binary(max_size=200) | st.dictionaries(st.text(max_size=12), st.none() | st.text() | st.integers() | st.booleans()).map(as_bytes))
def test_any_payload_is_a_command_or_our_error(payload: bytes) -> None:
    for read in (read_correct, read_undo):
        try:
            read(payload)
        except InputError as error:
            assert error.message
            assert error.hint
    command_id_of(payload)


def test_topics_are_read_as_they_are_written() -> None:
    topics = Topics("plant/press 4")
    assert topics.read(topics.command("undo")) == ("undo", "")
    assert topics.read(topics.command("predict") + "/cam/1") == ("predict", "cam/1")
    for strange in ("plant/press 4", "plant/press 4/verdict", "plant/press 40/undo", "undo", "plant/press 4/"):
        assert topics.read(strange) is None
