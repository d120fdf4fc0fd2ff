"""The route table: every path with its method, what answers it, and what the OpenAPI document says of it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_agent.service import accuracy, correcting, labelling, monitoring, page, predicting, waiting
from edge_agent.service.endpoint import Endpoint
from edge_agent.service.openapi import document
from edge_agent.service.parts import Parts
from edge_agent.service.problems import Json, Problem


async def openapi(parts: Parts, request: Request) -> Response:
    """Answer with the OpenAPI document of all routes."""
    return Json(document(ENDPOINTS))


_TAUGHT = (409, 422, 500)
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/v1/predict", predicting.predict, "prediction", "picture", ("top", "collect", "name"), errors=(422, 500)),
    Endpoint("POST", "/v1/corrections", correcting.correct, "correction", "lesson", errors=(404, *_TAUGHT)),
    Endpoint("GET", "/v1/corrections", correcting.history, "history", query=("limit", "before"), errors=(500,)),
    Endpoint("GET", "/v1/corrections/{id}/picture", correcting.picture, "picture", errors=(404, 500)),
    Endpoint("POST", "/v1/corrections/{id}/undo", correcting.undo, "undo", "nothing", errors=(404, *_TAUGHT)),
    Endpoint("GET", "/v1/labels", labelling.labels, "labels", errors=(500,)),
    Endpoint("POST", "/v1/labels", labelling.add, "label", "new_label", status=201, errors=_TAUGHT),
    Endpoint("DELETE", "/v1/labels/{name}", labelling.remove, "label", errors=(404, *_TAUGHT)),
    Endpoint("GET", "/v1/queue", waiting.waiting, "queue", query=("queue_limit",), errors=(500,)),
    Endpoint("DELETE", "/v1/queue", waiting.clear, "cleared", errors=(500,)),
    Endpoint("GET", "/v1/queue/{id}/picture", waiting.picture, "picture", errors=(404, 409, 500)),
    Endpoint("POST", "/v1/queue/{id}/label", waiting.label, "correction", "answer", errors=(404, *_TAUGHT)),
    Endpoint("POST", "/v1/queue/{id}/skip", waiting.skip, "set_aside", "nothing", errors=(404, 409, 500)),
    Endpoint("POST", "/v1/queue/{id}/unsure", waiting.unsure, "set_aside", "nothing", errors=(404, 409, 500)),
    Endpoint("GET", "/v1/accuracy", accuracy.accuracy, "accuracy", errors=(500,)),
    Endpoint("GET", "/v1/info", monitoring.info, "info", errors=(500,)),
    Endpoint("GET", "/v1/health", monitoring.health, "health"),
    Endpoint("GET", "/livez", monitoring.livez, "text"),
    Endpoint("GET", "/readyz", monitoring.readyz, "ready"),
    Endpoint("GET", "/metrics", monitoring.metrics, "text", errors=(500,)),
    Endpoint("GET", "/openapi.json", openapi, "document"),
    Endpoint("GET", "/", page.index, "page"),
    Endpoint("GET", "/assets/{file}", page.asset, "page", errors=(404,)),
)


def router(parts: Parts) -> ASGIApp:
    """The table as an ASGI application that raises what goes wrong."""
    table = Router([_route(parts, endpoint) for endpoint in ENDPOINTS], redirect_slashes=False, default=_nowhere)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = app  # with an application around it, Starlette raises instead of answering in its own shape
        await table(scope, receive, send)

    return app


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise Problem(404, "not_found", "there is no such path", "see /openapi.json")


def _route(parts: Parts, endpoint: Endpoint) -> Route:
    async def answer(request: Request) -> Response:
        request.scope["edge_agent.route"] = endpoint.path  # what the meter counts by: a path of the table, never one that a client made up
        try:
            return await endpoint.handler(parts, request)
        finally:
            parts.bodies.release(request)

    return Route(endpoint.path.replace("{name}", "{name:path}"), answer, methods=[endpoint.method])
