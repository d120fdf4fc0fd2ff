"""Clients that mean harm, or are merely slow: they are bounded in time, size and number, and the others do not notice."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from on_device import PHOTOS
from service_running import TOKEN, Service, running

PHOTO = PHOTOS[0].read_bytes()
CONNECTIONS = 24


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that loses its patience within a second."""
    limits = {
        "HEAD_S": "1", "BODY_S": "1", "STALL_S": "1", "CONNECTIONS": str(CONNECTIONS), "BODY_BYTES": "200000", "BODIES_BYTES": "300000",
        "THREADS": "1", "WAITING": "0",
    }  # fmt: skip
    variables = {f"EDGE_AGENT_SERVICE_{name}": value for name, value in limits.items()}
    with running(tmp_path_factory.mktemp("strict") / "state", **variables) as started:
        yield started


def head(service: Service, length: int, path: str = "/v1/predict") -> bytes:
    """Everything before a body of `length` bytes."""
    lines = f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{service.port}", f"authorization: Bearer {TOKEN}"
    return "\r\n".join([*lines, "content-type: image/jpeg", f"content-length: {length}", "", ""]).encode()


def everything(raw: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while chunk := raw.recv(65536):
            found += chunk
    return found


def test_a_head_that_does_not_come(strict: Service) -> None:
    with strict.raw() as silent, strict.raw() as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nhost")
        for raw in (silent, slow):
            answer = everything(raw)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b'"code":"timeout"' in answer


def test_a_head_in_drops_is_not_given_more_time(strict: Service) -> None:
    started = time.monotonic()
    with strict.raw() as raw, contextlib.suppress(ConnectionError):
        for byte in head(strict, 10):
            raw.sendall(bytes([byte]))
            time.sleep(0.1)
        pytest.fail("a minute of drops was taken")
    assert time.monotonic() - started < 30


def test_the_second_head_of_a_connection_has_its_time_too(strict: Service) -> None:
    with strict.raw() as raw:
        raw.sendall(f"GET /livez HTTP/1.1\r\nhost: 127.0.0.1:{strict.port}\r\n\r\nGET /li".encode())
        answer = everything(raw)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answer


def test_a_body_that_does_not_come(strict: Service) -> None:
    with strict.raw() as raw:
        raw.sendall(head(strict, 1000) + b"x")
        answer = everything(raw)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("token", [True, False])
def test_a_body_without_end_is_cut(strict: Service, token: bool) -> None:
    """Chunked, so its length is not known; with the wrong token nothing of it is even looked at."""
    lines = "POST /v1/predict HTTP/1.1", f"host: 127.0.0.1:{strict.port}", "transfer-encoding: chunked", "content-type: image/jpeg"
    bearer = [f"authorization: Bearer {TOKEN}"] if token else []
    with strict.raw() as raw:
        raw.sendall("\r\n".join([*lines, *bearer, "", ""]).encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                raw.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
            pytest.fail("3 GB were taken")


def test_bodies_together_are_bounded(strict: Service) -> None:
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(strict.raw()) for _ in range(2)]
        for raw in raws:
            raw.sendall(head(strict, 190_000) + b"x" * 180_000)
        answers = [everything(raw) for raw in raws]
    assert any(answer.startswith(b"HTTP/1.1 503") and b'"busy"' in answer and b"retry-after" in answer.lower() for answer in answers)


def test_an_answer_that_is_not_read(strict: Service) -> None:
    """The requests are piped in without looking at the answers, until the service reads no more."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", strict.port))
        raw.settimeout(20)
        one = f"GET /openapi.json HTTP/1.1\r\nhost: 127.0.0.1:{strict.port}\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode()
        with pytest.raises(ConnectionError):
            for _ in range(100_000):
                raw.sendall(one)


def test_connections_that_say_nothing_make_room(strict: Service) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(3 * CONNECTIONS):
            stack.enter_context(strict.raw())
            if number % 8 == 7:
                assert strict.ask("GET", "/livez", token=None).status == 200


def test_what_finds_no_place_is_told_to_come_back(strict: Service) -> None:
    """One thread and no place to wait: of many at once some are refused, and every one gets an answer."""
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(strict.predict(PHOTO))) for _ in range(16)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    refused = [answer for answer in answers if answer.status != 200]
    assert len(answers) == 16
    assert len(refused) < 16
    for answer in refused:
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "busy", "1")


def test_pipelined_requests_are_answered_in_their_order(strict: Service) -> None:
    with strict.raw() as raw:
        for path in ("/livez", "/nothing", "/livez"):
            raw.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{strict.port}\r\n\r\n".encode())
        raw.sendall(f"GET /livez HTTP/1.1\r\nhost: 127.0.0.1:{strict.port}\r\nconnection: close\r\n\r\n".encode())
        answer = everything(raw)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"401", b"200", b"200"]


def test_after_all_this_it_predicts(strict: Service) -> None:
    assert strict.predict(PHOTO).status == 200
    assert strict.ask("GET", "/readyz").status == 200
