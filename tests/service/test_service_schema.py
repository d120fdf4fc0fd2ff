"""Requests that schemathesis makes up from the OpenAPI document, good ones and bad ones: every answer is as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from service_running import BEARER, Service, running

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from edge_agent.service.openapi import document  # noqa: E402
from edge_agent.service.routes import ENDPOINTS  # noqa: E402

CHECKS = [
    not_a_server_error, content_type_conformance, response_headers_conformance, response_schema_conformance, status_code_conformance,
    unsupported_method, use_after_free,
]  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("fuzzed") / "state", EDGE_AGENT_SERVICE_FAILURES="1000000") as started:
        yield started


@schemathesis.openapi.from_dict(document(ENDPOINTS)).parametrize()
@pytest.mark.filterwarnings("ignore:Skipped test cases with unsupported payload media types")  # image/bmp: the other kinds are sent
@hypothesis.settings(max_examples=6, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_answers_are_what_the_document_says(case: Any, fuzzed: Service) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{fuzzed.port}", headers=BEARER, checks=CHECKS)


def test_the_document_describes_every_route(fuzzed: Service) -> None:
    found = fuzzed.ask("GET", "/openapi.json").json
    described = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert all(operation["summary"] for methods in found["paths"].values() for operation in methods.values())
