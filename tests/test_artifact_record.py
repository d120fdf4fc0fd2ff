from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import artifact_record
from edge_agent.artifact_record import KEPT, RECORD_NAME, ArtifactRecord, read_record, record_folder, write_record
from edge_agent.errors import StateError

RECORD = ArtifactRecord((("a" * 64, "onnxruntime-1.31.1"),), 7, "a" * 64)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read_record(tmp_path) == ArtifactRecord()
    assert write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD
    assert {path.name for path in tmp_path.iterdir()} == {RECORD_NAME, "home"}


def test_oldest_trial_leaves() -> None:
    record = ArtifactRecord()
    for number in range(KEPT + 5):
        record = record.with_tried(f"{number:064x}", "runtime")
    assert len(record.tried) == KEPT
    assert record.tried[-1] == (f"{KEPT + 4:064x}", "runtime")
    assert record.with_tried(*record.tried[0]).tried[-1] == record.tried[0]
    assert len(record.with_tried("b" * 64, "r").to_bytes()) < 16 * 1024


@given(st.data())
def test_any_flipped_bit_is_named(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("state")
    sound = bytearray(RECORD.to_bytes())
    place = data.draw(st.integers(0, len(sound) - 1))
    sound[place] ^= 1 << data.draw(st.integers(0, 7))
    (folder / RECORD_NAME).write_bytes(sound)
    with pytest.raises(StateError, match="is damaged"):
        read_record(folder)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n{}\n", b"[" * 9000, b"\xff", b"x" * 20_000])
def test_nonsense_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD_NAME).write_bytes(content)
    with pytest.raises(StateError, match=RECORD_NAME):
        read_record(tmp_path)


def test_default_states_share_one_record(tmp_path: Path) -> None:
    assert record_folder(tmp_path / "abcdefabcdef", "abcdefabcdef" + "0" * 52) == tmp_path
    assert record_folder(tmp_path / "state", "abcdefabcdef" + "0" * 52) == tmp_path / "state"


def test_folder_of_another_user_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_record.os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1, raising=False)
    assert not write_record(tmp_path, RECORD)
    assert not write_record(tmp_path / "none", RECORD)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
