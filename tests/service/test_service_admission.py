"""Who may ask: every route of the table, every name, every wrong token."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from service_running import TOKEN, Service

from edge_agent.errors import UsageError
from edge_agent.service.admission import is_open
from edge_agent.service.failures import ADDRESSES, Failures
from edge_agent.service.limits import ServiceLimits
from edge_agent.service.routes import ENDPOINTS
from edge_agent.service.token import Token, digest_of

OPEN = {("GET", "/"), ("GET", "/livez"), ("GET", "/assets/{file}")}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_route_needs_the_token(service: Service, endpoint: object) -> None:
    method, path = endpoint.method, endpoint.path  # type: ignore[attr-defined]
    concrete = re.sub(r"\{\w+\}", "1", path)
    for token in (None, TOKEN[:-1], TOKEN.upper()):
        answer = service.ask(method, concrete, b"{}" if method == "POST" else None, token=token)
        if (method, path) in OPEN:
            assert answer.status != 401
        else:
            assert (answer.status, answer.code) == (401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_what_is_open_holds_no_data(service: Service) -> None:
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if is_open(endpoint.path)} == OPEN
    assert b"mobilenet" not in service.ask("GET", "/", token=None).body + service.ask("GET", "/livez", token=None).body


@pytest.mark.parametrize("path", ["/v1/nothing", "/v2", "/assets", "/livez/", "//livez", "/v1/../livez", "/%6civez/.."])
def test_unknown_paths_tell_a_stranger_nothing(service: Service, path: str) -> None:
    assert service.ask("GET", path, token=None).status == 401
    assert service.ask("GET", path).status == 404


@pytest.mark.parametrize("value", [f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer ", f"Bearer{TOKEN}", f"Bearer {TOKEN} x", f"Token {TOKEN}"])
def test_only_bearer_counts(service: Service, value: str) -> None:
    answer = service.ask("GET", "/v1/info", headers={"authorization": value}, token=None)
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert TOKEN not in answer.body.decode()


def test_no_other_way_to_bring_the_token(service: Service) -> None:
    for headers in ({"cookie": f"token={TOKEN}"}, {"x-token": TOKEN}, {"proxy-authorization": f"Bearer {TOKEN}"}):
        assert service.ask("GET", "/v1/info", headers=headers, token=None).status == 401
    assert service.ask("GET", f"/v1/info?token={TOKEN}", token=None).status == 401
    assert service.ask("GET", "/v1/info", headers={"authorization": f"bearer {TOKEN}"}, token=None).status == 200


HOSTS = ["evil.example", "localhost", "127.0.0.1:1", "localhost.evil.example:{port}", "", "127.0.0.1:{port}@evil", "2130706433:{port}"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_hostile_host_is_refused_everywhere(service: Service, host: str) -> None:
    name = host.format(port=service.port)
    for path in ("/livez", "/", "/v1/info"):
        answer = service.ask("GET", path, headers={"host": name})
        assert (answer.status, answer.code) == (421, "host"), name
        assert not name or name not in answer.body.decode()


def test_its_own_names_are_taken(service: Service) -> None:
    for name in ("127.0.0.1", "LOCALHOST", "[::1]"):
        assert service.ask("GET", "/livez", headers={"host": f"{name}:{service.port}"}, token=None).status == 200


def test_a_second_host_or_none_is_refused(service: Service) -> None:
    for head in (b"GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", b"GET /livez HTTP/1.1\r\n\r\n", b"GET /livez HTTP/1.0\r\n\r\n"):
        with service.raw() as raw:
            raw.sendall(head)
            raw.settimeout(10)
            found = b"".join(iter(lambda: raw.recv(4096), b""))
        assert found.startswith(b"HTTP/1.1 400"), found
        assert b'{"error":{"code":"h' in found


def test_no_browser_of_another_origin_is_let_in(service: Service) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = service.ask("OPTIONS", "/v1/predict", headers=asked, token=None)
    assert preflight.status == 401
    for answer in (preflight, service.ask("GET", "/v1/labels", headers={"origin": "https://evil.example"}), service.ask("GET", "/")):
        assert not [name for name in answer.headers if name.startswith("access-control") or name == "set-cookie"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def failures(tries: int = 3) -> tuple[Failures, Callable[[float], None]]:
    """A limiter with a clock that goes on when it is told to."""
    moment = [0.0]
    return Failures(ServiceLimits(failures=tries, failure_s=2.0), lambda: moment[0]), lambda s: moment.__setitem__(0, moment[0] + s)


def test_guessing_is_stopped_and_goes_on_slowly() -> None:
    counted, pass_time = failures(3)
    for guess in range(3):
        assert counted.wait_s("a") == 0
        assert counted.wrong("a", b"%d" % guess) == 0
    assert counted.wait_s("a") == pytest.approx(2)
    assert counted.wait_s("b") == 0
    pass_time(2.0)
    assert counted.wait_s("a") == 0
    assert counted.wrong("a", b"another") == 0
    assert counted.wait_s("a") > 0


def test_an_old_token_slows_itself_and_locks_nobody_out() -> None:
    counted, _ = failures(3)
    answers = [counted.wrong("a", b"the same old one") for _ in range(1000)]
    assert answers[:3] == [0, 0, 0]
    assert all(answers[3:])
    assert counted.wait_s("a") == 0


def test_addresses_are_bounded() -> None:
    counted, _ = failures()
    for number in range(ADDRESSES + 10):
        counted.wrong(str(number), b"x")
    assert len(counted._addresses) == ADDRESSES


TEXTS = ["", "short", "x" * 15, "x" * 513, "with white space in it", "ümlaut-ümlaut-ümlaut", "line\nline-line-line-line"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_token_that_is_not_safe_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Token(text)
    assert not text or text not in str(refused.value)


def test_a_token_fits_only_itself() -> None:
    token = Token(TOKEN)
    assert token.fits(digest_of(TOKEN.encode()))
    assert not token.fits(digest_of(TOKEN.encode()[:-1]))
    assert TOKEN not in repr(vars(token))
