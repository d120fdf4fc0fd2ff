"""Bad input: the right status, one JSON error of one shape, and nothing on the disk has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from on_device import PHOTOS, TRUTHS, files_below
from service_running import Answer, Service
from test_service_routes import multipart

PHOTO = PHOTOS[0].read_bytes()
JPEG, JSON = {"content-type": "image/jpeg"}, {"content-type": "application/json"}


@pytest.fixture(autouse=True)
def _nothing_changes(service: Service) -> Iterator[None]:
    before = files_below(service.state) if service.state.exists() else {}
    yield
    assert (files_below(service.state) if service.state.exists() else {}) == before


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", JPEG, 422, "input"),
        (b"not a picture", JPEG, 422, "input"),
        (PHOTO[: len(PHOTO) // 2], JPEG, 422, "input"),
        (b"{}", JSON, 415, "media_type"),
        (PHOTO, {"content-type": "text/html"}, 415, "media_type"),
        (b"x" * (17 * 1024**2), JPEG, 413, "too_large"),
        (b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}, 400, "input"),
        (PHOTO, {"content-type": "multipart/form-data; boundary=b"}, 400, "input"),
        (PHOTO, {"content-type": "multipart/form-data"}, 400, "input"),
        (*multipart({}, PHOTO, "photo"), 400, "input"),
        (*multipart({"top": "3"}, PHOTO), 400, "input"),
        (*multipart({"picture": "text"}, None), 400, "input"),
        (*multipart({"x": "y" * 20_000}, PHOTO), 400, "input"),
        (*multipart({f"x{number}": "y" for number in range(100)}, PHOTO), 400, "input"),
    ],
)
def test_what_is_no_picture(service: Service, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    refused(service.ask("POST", "/v1/predict", body, headers), status, code)


QUERIES = ["top=0", "top=x", "top=1.5", "top=-1", "top=99999999999999999999", "top=1&top=2", "collect=2", "tpo=3", "top="]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_means_nothing(service: Service, query: str) -> None:
    refused(service.predict(PHOTO, f"?{query}"), 400, "input")


@pytest.mark.parametrize(
    ("facts", "status", "code"),
    [
        (b"", 400, "input"),
        (b"{", 400, "input"),
        (b"[]", 400, "input"),
        (b"null", 400, "input"),
        (b'{"sample_id": NaN, "label": "frog"}', 400, "input"),
        (b'{"label": "frog", "label": "cat", "sample_id": "x"}', 400, "input"),
        (b"\xff\xfe", 400, "input"),
        (b"[" * 60_000, 400, "input"),
        (b'{"x": "' + b"y" * 70_000 + b'"}', 413, "too_large"),
        ({"label": "frog"}, 400, "input"),
        ({"sample_id": "SAMPLE"}, 400, "input"),
        ({"sample_id": 5, "label": "frog"}, 400, "input"),
        ({"sample_id": "0" * 16, "label": "frog"}, 404, "not_found"),
        ({"sample_id": "../../etc/passwd", "label": "frog"}, 404, "not_found"),
        ({"sample_id": "SAMPLE", "label": "no such label"}, 422, "label"),
        ({"sample_id": "SAMPLE", "label": ""}, 422, "label"),
        ({"sample_id": "SAMPLE", "label": "a\x00b", "new_label": True}, 422, "label"),
        ({"sample_id": "SAMPLE", "label": "a\u202eb", "new_label": True}, 422, "label"),
        ({"sample_id": "SAMPLE", "label": "\ud800", "new_label": True}, 422, "label"),
        ({"sample_id": "SAMPLE", "label": "x" * 1000, "new_label": True}, 422, "label"),
        ({"sample_id": "SAMPLE", "label": "x" * 10_000, "new_label": True}, 400, "input"),
        ({"sample_id": "SAMPLE", "label": "frog", "force": "yes"}, 400, "input"),
        ({"sample_id": "SAMPLE", "label": "frog", "views": 9}, 400, "input"),
        ({"sample_id": "SAMPLE", "label": "frog", "views": True}, 400, "input"),
        ({"sample_id": "SAMPLE", "label": "frog", "new-label": True}, 400, "input"),
    ],
)
def test_a_correction_that_cannot_be_one(service: Service, facts: bytes | dict[str, object], status: int, code: str) -> None:
    sample_id = service.predict(PHOTO).json["sample_id"]
    body = facts if isinstance(facts, bytes) else json.dumps(facts).replace("SAMPLE", sample_id).encode()
    refused(service.ask("POST", "/v1/corrections", body, JSON), status, code)


def test_a_correction_of_another_type(service: Service) -> None:
    for headers in ({"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}, {}):
        refused(service.ask("POST", "/v1/corrections", b'{"sample_id": "x", "label": "y"}', headers), 415, "media_type")
    body, headers = multipart({"label": TRUTHS[0], "force": "perhaps"}, PHOTO)
    refused(service.ask("POST", "/v1/corrections", body, headers), 400, "input")
    body, headers = multipart({"label": TRUTHS[0]}, PHOTO[: len(PHOTO) // 2])
    refused(service.ask("POST", "/v1/corrections", body, headers), 422, "input")


@pytest.mark.parametrize("number", ["0", "999999", "-1", "x", "1e3", "9" * 400, "%00", "٣", "1%2F.."])
def test_a_correction_that_does_not_exist(service: Service, number: str) -> None:
    from urllib.parse import quote

    path = f"/v1/corrections/{quote(number, safe='%')}"
    refused(service.ask("GET", f"{path}/picture"), 404, "not_found")
    refused(service.ask("POST", f"{path}/undo"), 404, "not_found")


NAMES = ["index.html/..", "..%2f..%2ferrors.py", "%2e%2e/page.py", "__init__.py", "page.css%00.js", ".", "a" * 5000]


@pytest.mark.parametrize("name", NAMES)
def test_an_asset_that_is_none(service: Service, name: str) -> None:
    refused(service.ask("GET", f"/assets/{name}"), 404, "not_found")


def test_the_queue_without_such_a_sample(service: Service) -> None:
    refused(service.ask("GET", "/v1/queue/nothing/picture"), 404, "not_found")
    refused(service.say("POST", "/v1/queue/nothing/label", {"label": TRUTHS[0]}), 404, "not_found")
    refused(service.ask("POST", "/v1/queue/nothing/skip"), 404, "not_found")
    refused(service.ask("POST", "/v1/queue/nothing/unsure"), 404, "not_found")
    for limit in ("0", "x", "10001"):
        refused(service.ask("GET", f"/v1/queue?limit={limit}"), 400, "input")


def test_methods_that_a_path_does_not_take(service: Service) -> None:
    for method, path in (("GET", "/v1/predict"), ("PUT", "/v1/labels"), ("POST", "/livez"), ("TRACE", "/"), ("BREW", "/v1/info")):
        answer = service.ask(method, path)
        refused(answer, 405, "method")
        assert answer.headers["allow"]


def test_a_name_that_cannot_be_a_key(service: Service) -> None:
    sample_id = service.predict(PHOTO).json["sample_id"]
    body = json.dumps({"sample_id": sample_id, "label": TRUTHS[0]}).encode()
    refused(service.ask("POST", "/v1/corrections", body, {**JSON, "idempotency-key": "k" * 200}), 400, "input")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"not http at all\r\n\r\n", 400, "http"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "http"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", 400, "http"),
        (b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400, "http"),
        (b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400, "http"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 20_000, 431, "http"),
        (b"GET /" + b"x" * 20_000, 431, "http"),
    ],
)
def test_what_is_no_http(service: Service, sent: bytes, status: int, code: str) -> None:
    with service.raw() as raw:
        raw.settimeout(10)
        raw.sendall(sent)
        found = b""
        while chunk := raw.recv(65536):
            found += chunk
    head, _, body = found.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    refused(Answer(status, {"content-type": "application/json"}, body), status, code)
