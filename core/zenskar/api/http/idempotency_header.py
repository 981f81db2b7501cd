"""Read the header `Idempotency-Key` of a request."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from zenskar.api.http.auth import client
from zenskar.api.http.routes import Parameter, template_of
from zenskar.db.idempotency import Idempotency
from zenskar.errors import InvalidInput

_NAME = "Idempotency-Key"
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
REPLAYED = "Idempotent-Replayed"
"""The header of a response that repeats an earlier response."""
REPLAYED_DOC: Mapping[str, str] = {REPLAYED: "`true` when this response repeats an earlier one."}


def once(made: str) -> Parameter:
    """Return the parameter of a route that creates an object of this name."""
    return Parameter(_NAME, f"A repeat with the same key creates no second {made}.", "header")


def idempotency(request: web.Request, document: Mapping[str, Any]) -> Idempotency | None:
    """Return the Idempotency-Key of a request with this body, None without the header.

    A key belongs to the route and to the API key that sent it. Raises `InvalidInput`.
    """
    lines = request.headers.getall(_NAME, None)
    if lines is None:
        return None
    key = lines[0] if len(lines) == 1 else ""
    if not _FORM.fullmatch(key):
        raise InvalidInput(f"{_NAME}: must be 1 to 255 printable ASCII characters, once")
    asked = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    scope = f"{request.method} {template_of(request)} by {client(request)}"
    return Idempotency(scope, key, hashlib.sha256(asked).digest())
