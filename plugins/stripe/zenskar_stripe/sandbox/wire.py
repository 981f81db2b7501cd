"""Read requests and write answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from .errors import invalid
from .forms import Pairs, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .idempotency import Answer

_FORM = "application/x-www-form-urlencoded"


async def read_pairs(request: web.Request) -> Pairs:
    """Return the parameters of the query string and, for POST, of the body."""
    pairs = parse(request.rel_url.raw_query_string)
    if request.method != "POST" or not request.can_read_body:
        return pairs
    body = await request.read()
    if body and request.content_type != _FORM:
        # https://docs.stripe.com/api: the API accepts form-encoded request bodies.
        raise invalid(
            f"Invalid request (check that your POST content type is {_FORM}). "
            "If you have any questions, we can help at https://support.stripe.com/."
        )
    try:
        return pairs + parse(body.decode())
    except UnicodeDecodeError:
        raise invalid("Invalid UTF-8 in the request parameters.") from None


def whole(answer: Answer, headers: Mapping[str, str]) -> web.Response:
    """Return the complete answer."""
    return web.Response(
        body=answer.body,
        status=answer.status,
        headers={**headers, **answer.headers},
        content_type="application/json",
    )
