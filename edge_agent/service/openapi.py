"""The OpenAPI document: the route table and the schemas, put together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from edge_agent import __version__
from edge_agent.service import schemas
from edge_agent.service.admission import is_open
from edge_agent.service.endpoint import Endpoint
from edge_agent.service.schema_of import Schema

_PICTURES = ("image/jpeg", "image/png", "image/bmp", "image/webp")
_ALWAYS = (400, 421)
_GUARDED = (401, 429, 503)
_WITH_BODY = (408, 413, 415)
_MEANINGS = {
    400: "not understood", 401: "the token is missing or wrong", 404: "there is no such thing", 408: "it came too slowly",
    409: "somebody was first", 413: "too large", 415: "of a type that is not expected", 421: "another Host", 422: "it cannot be used",
    429: "too many wrong tokens", 500: "the state, the artifact or the runtime failed", 503: "too much waits, or the service stops",
}  # fmt: skip


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document, in version 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edge-agent", "version": __version__, "description": "An image classifier that learns from one picture."},
        "paths": paths,
        "components": {
            "schemas": {"error": schemas.error(), **schemas.answers()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    is_guarded = not is_open(endpoint.path)
    statuses = {*_ALWAYS, *(_GUARDED if is_guarded else ()), *(_WITH_BODY if endpoint.body else ()), *endpoint.errors}
    if endpoint.path == "/readyz":
        statuses.add(503)
    responses: dict[str, Any] = {str(endpoint.status): {"description": "done", "content": _content(endpoint.answer)}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}
    responses |= {str(status): {"description": _MEANINGS[status], "content": error} for status in sorted(statuses)}
    summary = (endpoint.handler.__doc__ or "").strip().splitlines()[0].rstrip(".")
    operation = {
        "operationId": f"{endpoint.method.lower()}{re.sub(r'[^a-z0-9]+', '_', endpoint.path)}".rstrip("_"),
        "summary": summary, "parameters": _parameters(endpoint), "responses": responses, "security": [{"token": []}] if is_guarded else [],
    }  # fmt: skip
    return {**operation, **({"requestBody": _body(endpoint.body)} if endpoint.body else {})}


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    known = schemas.parameters()
    in_path: Schema = {"type": "string", "minLength": 1}
    found = [{"name": name, "in": "path", "required": True, "schema": in_path} for name in re.findall(r"\{(\w+)\}", endpoint.path)]
    return found + [
        {"name": name.removeprefix("queue_"), "in": "query", "required": False, "schema": known[name]} for name in endpoint.query
    ]


def _content(answer: str) -> dict[str, Any]:
    if answer == "picture":
        return {kind: {} for kind in (*_PICTURES, "application/octet-stream")}
    if answer == "text":
        return {"text/plain": {"schema": {"type": "string"}}}
    if answer == "page":
        return {kind: {} for kind in ("text/html", "text/css", "text/javascript", "image/svg+xml", "image/png")}
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}}


def _body(name: str) -> dict[str, Any]:
    if name == "picture":
        form = {"type": "object", "properties": {"picture": {"type": "string", "format": "binary"}}, "required": ["picture"]}
        raw = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in (*_PICTURES, "application/octet-stream")}
        return {"required": True, "content": {**raw, "multipart/form-data": {"schema": form}}}
    content: dict[str, Any] = {"application/json": {"schema": schemas.bodies()[name]}}
    if name == "lesson":
        content["multipart/form-data"] = {"schema": schemas.lesson_form()}
    return {"required": name != "nothing", "content": content}
