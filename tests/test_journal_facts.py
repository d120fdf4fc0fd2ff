"""Facts are sealed one by one; what is gone or changed is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.errors import StateError
from edge_agent.journal_facts import commits, count_commit, damaged_facts, read_fact, write_fact
from edge_agent.journal_file import open_for_writing


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = open_for_writing(tmp_path, 100)
    yield found
    found.close()


def test_what_was_written_comes_back(connection: sqlite3.Connection) -> None:
    assert read_fact(connection, "colour") is None
    for value in ("red", "grün", ""):
        write_fact(connection, "colour", value)
        assert read_fact(connection, "colour") == value
    assert damaged_facts(connection) == ["artifact"], "a state that was written to is somebody's"


def test_commits_are_counted_and_the_identity_stays(connection: sqlite3.Connection) -> None:
    assert (commits(connection), damaged_facts(connection)) == (0, [])
    first = count_commit(connection, "a" * 64)
    second = count_commit(connection, "b" * 64)
    assert (first[1], second[1], first[0]) == (1, 2, second[0])
    assert len(first[0]) == 16
    assert read_fact(connection, "artifact") == "a" * 64
    assert damaged_facts(connection) == []


@pytest.mark.parametrize("name", ["artifact", "identity", "commits"])
@pytest.mark.parametrize("change", ["UPDATE facts SET value='7' WHERE name=?", "UPDATE facts SET row_sha256='' WHERE name=?"])
def test_a_changed_fact_is_damage(name: str, change: str, connection: sqlite3.Connection) -> None:
    count_commit(connection, "a" * 64)
    connection.execute(change, (name,))
    with pytest.raises(StateError, match=f"the fact '{name}' of the state is damaged"):
        read_fact(connection, name)
    with pytest.raises(StateError, match="is damaged"):
        count_commit(connection, "a" * 64)
    assert damaged_facts(connection) == [name]


@pytest.mark.parametrize("name", ["artifact", "identity", "commits"])
def test_a_fact_that_is_gone_or_renamed_is_damage(name: str, connection: sqlite3.Connection) -> None:
    count_commit(connection, "a" * 64)
    connection.execute("UPDATE facts SET name='other' WHERE name=?", (name,))
    assert damaged_facts(connection) == ["other", name]
    connection.execute("DELETE FROM facts WHERE name='other'")
    assert damaged_facts(connection) == [name]
