"""The review page's static shell: files of the package, no data, no token, nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from edge_agent.service.parts import Parts
from edge_agent.service.problems import Problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".webmanifest": "application/json",
}  # fmt: skip
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*(\.[a-z]+)")


async def index(parts: Parts, request: Request) -> Response:
    """Answer with the page."""
    return _file("index.html")


async def asset(parts: Parts, request: Request) -> Response:
    """Answer with one of its files."""
    return _file(request.path_params["file"])


def _file(name: str) -> Response:
    kind = MEDIA_TYPES.get(name[name.rfind(".") :] if "." in name else "")
    found = files("edge_agent.service") / "static" / name
    if kind is None or not _NAME.fullmatch(name) or not found.is_file():
        raise Problem(404, "not_found", "the page has no such file", "see GET /")
    return Response(found.read_bytes(), headers={"content-security-policy": POLICY, "content-type": kind})
