"""A request's body: read whole within a time, a size and a sum over all clients; never on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from edge_agent.service.limits import ServiceLimits
from edge_agent.service.problems import Problem, busy

PICTURE = "picture"
"""The field of a form that holds the picture."""
_FIELDS, _FIELD_BYTES = 16, 16 * 1024
_HELD = "edge_agent.held"  # bytes that a request holds, in its scope


@dataclass(frozen=True)
class Form:
    """A form with a picture.

    Attributes:
        picture: the file's bytes.
        name: the file's name as the client gave it, or None.
        fields: the other fields.
    """

    picture: bytes
    name: str | None
    fields: dict[str, str]


class Bodies:
    """Reads bodies; knows how much is held at a time."""

    def __init__(self, limits: ServiceLimits) -> None:
        """Bind the limits."""
        self._limits, self._held = limits, 0

    async def read(self, request: Request, most_bytes: int | None = None) -> bytes:
        """The whole body; it counts as held until `release`.

        Args:
            request: nothing of it was read.
            most_bytes: greatest size, where it is less than the limit of all bodies.

        Returns:
            The bytes.

        Raises:
            Problem: it is too large, comes too slowly, or too much is held already.
        """
        most = min(most_bytes or self._limits.body_bytes, self._limits.body_bytes)
        declared = request.headers.get("content-length", "0")
        if int(declared) > most:  # the protocol has checked that it is a number
            raise _too_large(most)
        held = 0
        try:
            chunks = []
            deadline = asyncio.get_running_loop().time() + self._limits.body_s
            more = True
            while more:
                left_s = deadline - asyncio.get_running_loop().time()
                message = await asyncio.wait_for(request.receive(), max(left_s, 0))
                chunk, more = message.get("body", b""), message.get("more_body", False)
                held, self._held = held + len(chunk), self._held + len(chunk)
                if held > most:
                    raise _too_large(most)
                if self._held > self._limits.bodies_bytes:
                    raise busy("bytes of pictures")
                chunks.append(chunk)
            return b"".join(chunks)
        except asyncio.TimeoutError:
            late = f"the body took longer than {self._limits.body_s:g} s"
            raise Problem(408, "timeout", late, "send it faster, or make it smaller") from None
        finally:
            request.scope[_HELD] = request.scope.get(_HELD, 0) + held

    def release(self, request: Request) -> None:
        """The request was answered: its body is held no longer."""
        self._held -= request.scope.pop(_HELD, 0)

    async def picture(self, request: Request) -> Form:
        """A picture: the raw body, or the field `picture` of a form.

        Raises:
            Problem: what comes is no picture by its type, or the form is not one.
            Problem: as `read`.
        """
        kind = media_type(request)
        if kind == "multipart/form-data":
            return await self._form(request)
        if kind and not kind.startswith("image/") and kind != "application/octet-stream":
            hint = "send the file with Content-Type: image/jpeg, or as the field picture of multipart/form-data"
            raise Problem(415, "media_type", f"the body is {kind[:80]!r}, expected a picture", hint)
        return Form(await self.read(request), None, {})

    async def _form(self, request: Request) -> Form:
        body = await self.read(request)
        try:
            parser = _InMemory(request.headers, _once(body), max_files=1, max_fields=_FIELDS, max_part_size=_FIELD_BYTES)
            found = await parser.parse()
        except (MultiPartException, ValueError) as error:
            reason = getattr(error, "message", "it cannot be read")
            raise Problem(400, "input", f"the form is not one: {reason}", "send multipart/form-data with one file, picture") from None
        return await _as_form(found)


def media_type(request: Request) -> str:
    """The type of the body in small letters, without its parameters; "" where none is named."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class _InMemory(MultiPartParser):
    """Starlette's parser; the body is in memory already, and bounded, so its parts need no file."""

    spool_max_size = 2**40


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _as_form(found: FormData) -> Form:
    picture, name, fields = None, None, dict[str, str]()
    for field, value in found.multi_items():
        if field in fields or (field == PICTURE and picture is not None):
            raise Problem(400, "input", f"the form has {field[:80]!r} twice", "send each field once")
        if field == PICTURE:
            picture, name = (await value.read(), value.filename) if isinstance(value, UploadFile) else (b"", None)
        elif isinstance(value, UploadFile):
            raise Problem(400, "input", f"the form has the file {field[:80]!r}, expected {PICTURE}", f"name the file's field {PICTURE}")
        else:
            fields[field] = value
    if not picture:
        raise Problem(400, "input", f"the form has no file {PICTURE}, or it is empty", f"send a file as the field {PICTURE}")
    return Form(picture, name, fields)


def _too_large(most: int) -> Problem:
    return Problem(413, "too_large", f"the body is larger than {most} bytes", "make the picture smaller, or raise the limit body_bytes")
