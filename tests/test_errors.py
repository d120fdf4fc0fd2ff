from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import errors
from edge_agent.errors import EdgeAgentError, InputError, LabelError, StateBusyError, StateError

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgeAgentError)]


@pytest.mark.parametrize("kind", ALL)
def test_carries_message_and_hint_in_one_line(kind: type[EdgeAgentError]) -> None:
    error = kind("a.jpg has 0 bytes", "take it again")
    assert (error.message, error.hint) == ("a.jpg has 0 bytes", "take it again")
    assert str(error) == "a.jpg has 0 bytes; hint: take it again"
    assert str(kind("a.jpg has 0 bytes")) == "a.jpg has 0 bytes"


@given(st.text(), st.text())
def test_is_one_line_whatever_it_quotes(message: str, hint: str) -> None:
    assert len(str(EdgeAgentError(message, hint)).splitlines()) <= 1


@pytest.mark.parametrize("kind", ALL)
def test_survives_copy_and_pickle(kind: type[EdgeAgentError]) -> None:
    error = kind("message", "hint")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert (again.message, again.hint, str(again)) == (error.message, error.hint, str(error))


def test_families_keep_their_exit_code() -> None:
    assert {kind.__name__: kind.exit_code for kind in ALL} == {
        "EdgeAgentError": 70,
        "UsageError": 64,
        "InputError": 65,
        "LabelError": 65,
        "NotWaitingError": 65,
        "AnsweredError": 65,
        "RepeatedError": 65,
        "ArtifactError": 66,
        "RuntimeUnavailable": 69,
        "StateError": 73,
        "StateBusyError": 73,
    }
    assert issubclass(LabelError, InputError)
    assert issubclass(StateBusyError, StateError)


def test_no_exit_code_is_one_that_health_uses() -> None:
    assert all(kind.exit_code > 3 for kind in ALL)
