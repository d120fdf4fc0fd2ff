"""The small parts of the service, each alone."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import EdgeAgentError, UsageError
from edge_agent.journal_queue import Answer
from edge_agent.results import AgentInfo, Correction, Prediction, Ranked, Undo
from edge_agent.runtime import Seen
from edge_agent.service.accuracy import field_shares, share_of
from edge_agent.service.address import Address
from edge_agent.service.fields import Fields
from edge_agent.service.lane import Lane
from edge_agent.service.limits import ServiceLimits
from edge_agent.service.predicting import NAME_CHARACTERS, picture_name
from edge_agent.service.problems import CODES, Problem, as_problem, rendered
from edge_agent.service.recent import Recent
from edge_agent.service.routes import ENDPOINTS
from edge_agent.service.schema_of import schema_of
from edge_agent.service.token import load_token


def every_error(kind: type[EdgeAgentError] = EdgeAgentError) -> list[type[EdgeAgentError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in every_error(child))]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_has_a_status_and_a_code(kind: type[EdgeAgentError]) -> None:
    problem = as_problem(kind("what", "how"))
    assert 400 <= problem.status <= 503
    assert problem.code in CODES
    assert (problem.status == 503) == ("retry-after" in problem.headers)


def test_text_that_is_no_unicode_is_sent_all_the_same() -> None:
    assert rendered({"image": "a\udcffb"}) == b'{"image":"a?b"}'


class TestLane:
    def test_what_finds_no_place_is_refused_and_not_begun(self) -> None:
        async def main() -> None:
            lane, go_on, begun = Lane("tests", 1, 1), threading.Event(), list[int]()

            def work(number: int) -> Callable[[], int]:
                def run() -> int:
                    begun.append(number)
                    go_on.wait(10)
                    return number

                return run

            tasks = [asyncio.create_task(lane.run(work(number))) for number in range(3)]
            await asyncio.sleep(0.05)
            assert (lane.under_way, lane.refused) == (2, 1)
            with pytest.raises(Problem, match="wait already"):
                await tasks[2]
            own = asyncio.create_task(lane.run(work(9), always=True))
            await asyncio.sleep(0)
            lane.close()
            with pytest.raises(Problem, match="stopping"):
                await lane.run(work(5))
            go_on.set()
            assert [await task for task in (*tasks[:2], own)] == [0, 1, 9]
            assert (begun, lane.under_way) == ([0, 1, 9], 0)
            lane.shut()

        asyncio.run(main())

    def test_work_goes_on_when_nobody_waits_and_its_errors_come_out(self) -> None:
        async def main() -> None:
            lane, go_on, done = Lane("tests", 1, 1), threading.Event(), threading.Event()
            task = asyncio.create_task(lane.run(lambda: (go_on.wait(10), done.set())))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert lane.under_way == 1
            go_on.set()
            with pytest.raises(ZeroDivisionError):
                await lane.run(lambda: 1 // 0)
            assert done.is_set()
            assert lane.under_way == 0
            lane.shut()

        asyncio.run(main())


def prediction(number: int, size: int) -> Prediction:
    seen = Seen(*(np.zeros((1, 3), np.float32) for _ in range(3)))
    return Prediction(None, "cat", 0.5, (Ranked("cat", 0.5),), f"{number:016x}", 0, 1.0, "a" * 64, seen, b"x" * size)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=60), st.integers(0, 5), st.integers(0, 100))
def test_recent_predictions_are_bounded_and_the_newest_stay(kept: list[tuple[int, int]], most: int, most_bytes: int) -> None:
    recent, expected = Recent(ServiceLimits(recent=most, recent_bytes=most_bytes)), dict[str, Prediction]()
    for number, size in kept:
        one = prediction(number, size)
        recent.keep(one)
        expected.pop(one.sample_id, None)
        if size <= most_bytes and most:
            expected[one.sample_id] = one
        while len(expected) > most or sum(len(found.picture or b"") for found in expected.values()) > most_bytes:
            del expected[next(iter(expected))]
    for number in range(10):
        assert recent.get(f"{number:016x}") is expected.get(f"{number:016x}")


class TestLimits:
    def test_a_table_and_the_environment_over_it(self, tmp_path: Path) -> None:
        file = tmp_path / "settings.toml"
        file.write_text("[service]\nconnections = 64\nhead_s = 3\n")
        limits = ServiceLimits.load(file, {"EDGE_AGENT_SERVICE_HEAD_S": "2.5"})
        assert (limits.connections, limits.head_s, limits.body_s) == (64, 2.5, ServiceLimits().body_s)

    @pytest.mark.parametrize("line", ["nonsense = 1", "connections = 1", "head_s = 'x'", "threads = 1.5", ""])
    def test_what_means_nothing_is_refused(self, tmp_path: Path, line: str) -> None:
        text = f"[service]\n{line}" if line else "service = 3"
        file = tmp_path / "settings.toml"
        file.write_text(text)
        with pytest.raises(UsageError, match="service"):
            ServiceLimits.load(file, {})

    def test_every_limit_is_in_the_manual(self) -> None:
        manual = (Path(__file__).parents[2] / "docs/service.md").read_text("utf-8")
        for field in dataclasses.fields(ServiceLimits):
            assert f"`{field.name}`" in manual

    def test_every_route_is_in_the_manual(self) -> None:
        manual = (Path(__file__).parents[2] / "docs/service.md").read_text("utf-8")
        for endpoint in ENDPOINTS:
            assert f"`{endpoint.method} {endpoint.path}" in manual


class TestAddress:
    def test_an_answer_does_not_wait_for_the_clients_acknowledgement(self) -> None:
        """Small segments are sent at once (no Nagle): else head and body of an answer are 40 ms apart on a kept connection."""

        async def accepted() -> int:
            found = asyncio.get_running_loop().create_future()
            listening = Address(None, "127.0.0.1", 0).listen()
            server = await asyncio.start_server(lambda _, writer: found.set_result(writer), sock=listening)
            async with server:
                _, client = await asyncio.open_connection(*listening.getsockname())
                writer = await found
                delay = int(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                for each in (client, writer):
                    each.close()
                return delay

        assert asyncio.run(accepted())

    def test_loopback_is_asked_by_its_names(self) -> None:
        assert Address(None, "127.0.0.1", 8765).allowed_hosts(8765) == {"localhost:8765", "127.0.0.1:8765", "[::1]:8765"}
        assert "localhost" in Address(None, "::1", 80).allowed_hosts(80)
        assert Address(Path("/run/x"), "", 0, ("Camera.local",)).allowed_hosts(0) == {"localhost", "camera.local"}

    def test_another_address_is_asked_by_itself_and_what_was_named(self) -> None:
        named = Address(None, "192.0.2.7", 8765, ("camera.local:8765",), True)
        assert named.allowed_hosts(8765) == {"192.0.2.7:8765", "camera.local:8765"}
        assert Address(None, "0.0.0.0", 80, ("camera.local:80",), True).allowed_hosts(80) == {"camera.local", "camera.local:80"}

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "fe80::1", "not an address", ""])
    def test_other_machines_are_not_let_in_by_chance(self, host: str) -> None:
        with pytest.raises(UsageError):
            Address(None, host, 8765)

    @pytest.mark.parametrize("name", ["", "a b", "user@host", "http://host", "ümlaut", "*/"])
    def test_what_is_no_host(self, name: str) -> None:
        with pytest.raises(UsageError, match="is no host"):
            Address(None, "127.0.0.1", 8765, (name,))

    def test_a_socket_that_was_left_over_is_taken_over_and_a_file_is_not(self, tmp_path: Path) -> None:
        address = Address(tmp_path / "socket", "", 0)
        address.listen().close()  # as a killed service leaves it
        address.listen().close()
        address.close()
        (tmp_path / "socket").write_text("a file")
        with pytest.raises(EdgeAgentError, match="no socket lies there"):
            address.listen()


class TestToken:
    def test_a_file_with_white_space_around(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("  0123456789abcdef\n")
        file.chmod(0o600)
        assert vars(load_token(file, {})) == vars(load_token(None, {"EDGE_AGENT_TOKEN": "0123456789abcdef"}))

    def test_a_file_that_everybody_may_read(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("0123456789abcdef")
        file.chmod(0o644)
        with pytest.raises(UsageError, match="read by everybody"):
            load_token(file, {})

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(UsageError, match="token file"):
                load_token(path, {})
        (tmp_path / "binary").write_bytes(b"\xff" * 32)
        (tmp_path / "binary").chmod(0o600)
        with pytest.raises(UsageError, match="line of text"):
            load_token(tmp_path / "binary", {})


JSON_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@given(JSON_VALUES)
def test_a_field_is_of_its_type_or_a_problem(value: object) -> None:
    for what in ("body", "query"):
        try:
            text = Fields({"x": value}, what).text("x")
        except Problem as problem:
            assert problem.status == 400
            text = None
        try:
            assert Fields({"x": value}, what).flag("x", False) in (True, False)
        except Problem as problem:
            assert problem.status == 400
        try:
            number = Fields({"x": value}, what).number("x", None, 1, 9)
        except Problem as problem:
            assert problem.status == 400
            number = None
        assert text is None or isinstance(value, str)
        assert number is None or 1 <= number <= 9


@given(st.text())
def test_a_picture_name_is_one_printable_line(name: str) -> None:
    found = picture_name(name)
    assert found is None if not name else found is not None and found.isprintable() and len(found) <= NAME_CHARACTERS


class TestAccuracy:
    def test_wilson_as_published(self) -> None:
        share = share_of("", [True] * 81 + [False] * 182)  # Newcombe 1998, table I: 81 of 263, score method
        assert (round(share.low, 4), round(share.high, 4)) == (0.2553, 0.3662)

    @given(st.lists(st.booleans(), max_size=60))
    def test_the_share_lies_in_its_interval(self, right: list[bool]) -> None:
        share = share_of("", right)
        assert 0 <= share.low <= (share.share if share.share is not None else 0.5) <= share.high <= 1

    def test_an_answer_without_a_correction_was_right(self) -> None:
        others = [Answer("b", "2026-01-02", "skipped", None), Answer("c", "2026-01-03", "unsure", None)]
        answers = [Answer("a", "2026-01-01", "labelled", "cat"), *others]
        assert [(share.answers, share.right) for share in field_shares([], answers)] == [(1, 1)]


@pytest.mark.parametrize("kind", [Correction, Undo, AgentInfo])
def test_a_schema_has_every_field(kind: type) -> None:
    schema = schema_of(kind)
    assert schema["required"] == [field.name for field in dataclasses.fields(kind)]
    with pytest.raises(TypeError, match="no schema"):
        schema_of(complex)
