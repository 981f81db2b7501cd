"""Read and write JSON bodies."""

import codecs
import zlib
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler

from zenskar.api.http.pending import PENDING
from zenskar.errors import InvalidInput, SchemaViolation, Violation
from zenskar.model import json_text
from zenskar.model.json_bounds import Bounds
from zenskar.schema_catalog import Schema

JSON_TYPES = ("application/json",)
FORM_TYPE = "application/x-www-form-urlencoded"
_MAX_FIELDS = 300
PATCH_TYPES = ("application/merge-patch+json", "application/json")
_BOUNDS = Bounds(members=2000, depth=32)
"""The largest valid body names 1,000 ids to retry."""
_PLAIN = frozenset({"", "identity"})
_GZIP = zlib.MAX_WBITS | 16
_CODINGS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
"""Content-Encoding to the window of zlib; x-gzip is gzip (RFC 9110, section 8.4.1)."""
_MAX_MEMBERS = 16
_CHARSETS = frozenset({"utf8", "usascii"})
"""Names of UTF-8 and of its subset ASCII, without hyphens and underscores."""


async def read_json(
    request: web.Request, schema: Schema, media_types: tuple[str, ...] = JSON_TYPES
) -> dict[str, Any]:
    """Return a JSON object that is valid against a schema.

    Raises 413, 415, `SchemaViolation`, or `InvalidInput` when the body is not JSON.
    """
    if request.content_type not in media_types or not _is_utf_8(request.charset):
        raise web.HTTPUnsupportedMediaType(
            text=f"the Content-Type must be {' or '.join(media_types)} in UTF-8"
        )
    coding = _encoding(request, _PLAIN | _CODINGS.keys())
    text = _decompressed(await _read(request), coding, request.client_max_size)
    body = parse(text)
    _BOUNDS.check(body, text)
    schema.check(body)
    valid: dict[str, Any] = body
    return valid


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the fields of an HTML form, each given once.

    Raises 413, 415, or `InvalidInput` when the body is not such a form.
    """
    if request.content_type != FORM_TYPE:
        raise web.HTTPUnsupportedMediaType(text=f"the Content-Type must be {FORM_TYPE}")
    _encoding(request, _PLAIN)
    body = await _read(request)
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"
        )
    except ValueError:
        raise InvalidInput("the body is not a form in UTF-8") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise InvalidInput("a field of the form is given twice")
    return form


async def read_signed(request: web.Request) -> bytes:
    """Return a body exactly as the sender signed it. Raises 413, or 415 for a compressed body."""
    _encoding(request, _PLAIN)
    return await _read(request)


@web.middleware
async def invite_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send `100 Continue` to a sender that waits for it (RFC 9110, section 10.1.1).

    Raises `HTTPExpectationFailed` for any other expectation.
    """
    if hdrs.EXPECT in request.headers:
        if request.headers[hdrs.EXPECT].lower() != "100-continue":
            raise web.HTTPExpectationFailed(text="of expectations, only 100-continue is known")
        if request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # aiohttp would take these bytes for a response that has begun.
            request.writer.output_size = 0
    return await handler(request)


async def _read(request: web.Request) -> bytes:
    """Return the body, still compressed. Raises 413 above `client_max_size`."""
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
                pending.charge(request, len(pieces[-1]))
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidInput("the body could not be read to its end") from None
    return b"".join(pieces)


def parse(body: bytes) -> Any:
    """Parse JSON text, with or without a byte order mark.

    Raises `InvalidInput`, as `SchemaViolation` for an integer that 64 bits cannot hold.
    """
    text = body.removeprefix(codecs.BOM_UTF8)
    try:
        value = orjson.loads(text)
        rounded = json_text.may_round(text) and json_text.find_beyond_64_bits(
            json_text.read(text.decode())
        )
    except (orjson.JSONDecodeError, RecursionError, OverflowError):
        raise InvalidInput("the body is not JSON in UTF-8") from None
    if isinstance(rounded, str):
        raise SchemaViolation("the body", [Violation(rounded, "has too many digits")])
    return value


def dump(body: Any) -> bytes:
    """Return a body as JSON text, with times in UTC."""
    return orjson.dumps(body, option=orjson.OPT_UTC_Z)


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a response with a JSON body."""
    return web.Response(
        body=dump(body), status=status, content_type="application/json", headers=headers
    )


def _is_utf_8(charset: str | None) -> bool:
    """Return whether a charset is UTF-8 by any of its usual names; without one it is."""
    named = (charset or "utf-8").lower()
    return named.replace("-", "").replace("_", "") in _CHARSETS


def _encoding(request: web.Request, known: Collection[str]) -> str:
    named = request.headers.getall(hdrs.CONTENT_ENCODING, ("",))
    encoding = named[0].strip().lower()
    # Several values, in one line or in many, mean that the body was compressed several times.
    if len(named) > 1 or encoding not in known:
        raise web.HTTPUnsupportedMediaType(text="this Content-Encoding is not accepted here")
    return encoding


def _decompressed(body: bytes, coding: str, limit: int) -> bytes:
    """Decompress a body. Raises 413 as soon as the result exceeds the limit."""
    if coding not in _CODINGS:
        return body
    plain = b""
    for _ in range(_MAX_MEMBERS):
        decompressor = zlib.decompressobj(_CODINGS[coding])
        try:
            plain += decompressor.decompress(body, limit + 1 - len(plain))
        except zlib.error:
            raise InvalidInput(f"the body is not {coding}") from None
        if len(plain) > limit:
            raise web.HTTPRequestEntityTooLarge(limit)
        if not decompressor.eof:
            raise InvalidInput("the body could not be read to its end")
        body = decompressor.unused_data
        if not body:
            return plain
        # Only gzip may have several members (RFC 1952, section 2.2).
        if _CODINGS[coding] != _GZIP:
            break
    raise InvalidInput(f"the body is more than {coding} of one document")
