"""One service for the tests that change nothing that others look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("starlette", reason="the extra [service] is not installed")

from service_running import Service, running


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a state of its own, shared by the session."""
    with running(tmp_path_factory.mktemp("service") / "state", EDGE_AGENT_SERVICE_FAILURES="1000000") as started:
        yield started
