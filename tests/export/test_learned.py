from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ArtifactError
from export.learned import ACTIONS, Choice, Epoch, Learned, read_learned

numbers = st.floats(0, 1e6)
epochs = st.builds(Epoch, st.integers(0, 100), st.none() | numbers, numbers, st.floats(0, 1))
learned = st.builds(
    Learned,
    choices=st.lists(st.builds(Choice, st.sampled_from(ACTIONS), st.text())).map(tuple),
    layers=st.lists(st.text()).map(tuple),
    trained=st.integers(0), parameters=st.integers(0), pictures=st.integers(0), held_out=st.integers(0),
    curve=st.lists(epochs, min_size=1).map(tuple),
    kept=st.just(0),
)  # fmt: skip


@given(learned)
def test_what_is_written_is_read_back(found: Learned) -> None:
    assert Learned.from_bytes(found.to_bytes()) == found


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"choices": 1}', b"\xff"])
def test_what_is_not_understood(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"learning.json is not understood"):
        Learned.from_bytes(data)


def test_an_epoch_that_does_not_exist_cannot_be_kept() -> None:
    found = Learned((), (), 0, 1, 2, 3, (Epoch(0, None, 1.0, 0.5),), 1)
    with pytest.raises(ArtifactError, match="kept is 1, of 1 epochs"):
        Learned.from_bytes(found.to_bytes())


def test_an_artifact_in_which_nothing_was_trained(tmp_path: Path) -> None:
    assert read_learned(tmp_path) is None
    found = Learned((Choice("reinit", "fc"),), ("fc",), 10, 20, 8, 2, (Epoch(0, None, 2.3, 0.1), Epoch(1, 2.0, 1.5, 0.5)), 1)
    (tmp_path / "learning.json").write_bytes(found.to_bytes())
    assert read_learned(tmp_path) == found and found.before.number == 0 and found.best.held_out_accuracy == 0.5
