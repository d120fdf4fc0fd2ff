"""For monitors and orchestrators: is it alive, is it ready, is it well, and the numbers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from edge_agent.metrics import exposition
from edge_agent.service.parts import Parts
from edge_agent.service.problems import Json, Problem, stopping

REPORT_S = 5.0
"""How long `/metrics` waits for the health report: another process may hold the state, and Prometheus waits ten seconds as a rule."""


async def livez(parts: Parts, request: Request) -> Response:
    """Answer as long as the process takes requests; says nothing about the model."""
    return Response("ok\n", media_type="text/plain")


async def readyz(parts: Parts, request: Request) -> Response:
    """Answer with 200 where the last self-prediction was right and the service is not about to stop."""
    if parts.is_stopping:
        raise stopping()
    if parts.self_check.fault:
        raise Problem(503, "runtime", f"the service does not predict: {parts.self_check.fault}", "see GET /v1/health", {"retry-after": "5"})
    return Json({"status": "ready"})


async def health(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `health --json`; the state is in the answer, and the status is 200."""
    report = await parts.reading.run(parts.agent.health)
    return Json(report.as_json())


async def info(parts: Parts, request: Request) -> Response:
    """Answer with the keys of `info --json`."""
    return Json(asdict(await parts.reading.run(parts.agent.info)))


async def metrics(parts: Parts, request: Request) -> Response:
    """Answer with what `health` measures and what the service counts, as Prometheus reads it; a report that does not come is left out."""
    try:
        report = await asyncio.wait_for(parts.reading.run(parts.agent.health), REPORT_S)
        measured = exposition(report)
    except asyncio.TimeoutError:
        measured = ""
    return Response(measured + parts.meter.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
