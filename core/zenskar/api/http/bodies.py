"""Read and write JSON bodies."""

import codecs
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import orjson
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler

from zenskar.api.http.pending import PENDING
from zenskar.errors import InvalidInput
from zenskar.json_bounds import Bounds
from zenskar.schema_catalog import Schema

JSON_TYPES = ("application/json",)
PATCH_TYPES = ("application/merge-patch+json", "application/json")
_BOUNDS = Bounds(members=2000, depth=32)
"""No body of this API needs nearly as much; those who retry may name 1,000 ids."""
_PLAIN = frozenset({"", "identity"})
_GZIP = zlib.MAX_WBITS | 16
_PACKINGS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
"""Content-Encoding to the window of zlib; x-gzip is gzip (RFC 9110, section 8.4.1)."""
_MOST_PARTS = 16
_CHARSETS = frozenset({"utf8", "usascii"})
"""Names of UTF-8 and of what it includes, without hyphens and underscores."""


async def read_json(
    request: web.Request, schema: Schema, media_types: tuple[str, ...] = JSON_TYPES
) -> dict[str, Any]:
    """Return a body that is valid against the schema of a JSON object."""
    if request.content_type not in media_types or not _is_utf_8(request.charset):
        raise web.HTTPUnsupportedMediaType(
            text=f"the Content-Type must be {' or '.join(media_types)} in UTF-8"
        )
    packing = _encoding(request, _PLAIN | _PACKINGS.keys())
    text = _unpacked(await _read(request), packing, request.client_max_size)
    body = parse(text)
    _BOUNDS.check(body, text)
    schema.check(body)
    valid: dict[str, Any] = body
    return valid


async def read_signed(request: web.Request) -> bytes:
    """Return a body exactly as it was sent: what was compressed is not what was signed."""
    _encoding(request, _PLAIN)
    return await _read(request)


@web.middleware
async def invite_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send `100 Continue` to a sender that waits for it (RFC 9110, section 10.1.1)."""
    if hdrs.EXPECT in request.headers:
        if request.headers[hdrs.EXPECT].lower() != "100-continue":
            raise web.HTTPExpectationFailed(text="of expectations, only 100-continue is known")
        if request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # aiohttp would take these bytes for a response that has begun.
            request.writer.output_size = 0
    return await handler(request)


async def _read(request: web.Request) -> bytes:
    """Return the body as it arrives, the server leaves it packed; most come in one piece."""
    limit, content, pending = request.client_max_size, request.content, request.get(PENDING)
    if not content.is_eof() and (request.content_length or 0) > limit:
        raise web.HTTPRequestEntityTooLarge(limit)
    size, pieces = 0, []
    try:
        while not content.at_eof():
            here = content.is_eof()
            pieces.append(content.read_nowait() if here else await content.readany())
            size += len(pieces[-1])
            if size > limit:
                raise web.HTTPRequestEntityTooLarge(limit)
            if pending is not None:
                pending.take(request, len(pieces[-1]))
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidInput("the body could not be read to its end") from None
    return b"".join(pieces)


def parse(body: bytes) -> Any:
    """Return what JSON text says, after a byte order mark or without one."""
    try:
        return orjson.loads(body.removeprefix(codecs.BOM_UTF8))
    except (orjson.JSONDecodeError, RecursionError):
        raise InvalidInput("the body is not JSON in UTF-8") from None


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=orjson.dumps(body), status=status, content_type="application/json", headers=headers
    )


def _is_utf_8(charset: str | None) -> bool:
    """Tell whether a charset, which JSON need not name, is UTF-8 by any of its usual names."""
    named = (charset or "utf-8").lower()
    return named.replace("-", "").replace("_", "") in _CHARSETS


def _encoding(request: web.Request, known: Collection[str]) -> str:
    named = request.headers.getall(hdrs.CONTENT_ENCODING, ("",))
    encoding = named[0].strip().lower()
    # Several say that it was packed several times, in one line or in many.
    if len(named) > 1 or encoding not in known:
        raise web.HTTPUnsupportedMediaType(text="this Content-Encoding is not accepted here")
    return encoding


def _unpacked(body: bytes, packing: str, limit: int) -> bytes:
    """Unpack no more than the limit, however much there is."""
    if packing not in _PACKINGS:
        return body
    unpacked = b""
    for _ in range(_MOST_PARTS):
        unpacker = zlib.decompressobj(_PACKINGS[packing])
        try:
            unpacked += unpacker.decompress(body, limit + 1 - len(unpacked))
        except zlib.error:
            raise InvalidInput(f"the body is not {packing}") from None
        if len(unpacked) > limit:
            raise web.HTTPRequestEntityTooLarge(limit)
        if not unpacker.eof:
            raise InvalidInput("the body could not be read to its end")
        body = unpacker.unused_data
        if not body:
            return unpacked
        # What follows the end of a part is another part only with gzip (RFC 1952, section 2.2).
        if _PACKINGS[packing] != _GZIP:
            break
    raise InvalidInput(f"the body is more than {packing} of one document")
