"""Make several calls in one: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_composite.htm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from .problems import Problem, Refused
from .rest import Reply, RestCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST_PARTS: Final = 25
MOST_QUERIES: Final = 5
_REFERENCE = re.compile(r"@\{([A-Za-z][A-Za-z0-9_]*)\.([A-Za-z0-9_]+)\}")
_OWN_HEADERS: Final = {"accept", "authorization", "content-type"}


class _Halted(Exception):
    """A reference to the answer of a part that failed."""


def answer_composite(
    call: RestCall, make: Callable[[RestCall], Reply], undo: Callable[[], None]
) -> Reply:
    """Answer the parts in their order; `undo` restores the rows when all or none must hold.

    Raises `Refused` for a request that is no composite, or has too many parts.
    """
    parts = _parts(call.body)
    replies: dict[str, Reply] = {}
    failed = False
    for part in parts:
        try:
            reply = make(_call(part, replies))
        except _Halted as error:
            reply = Reply(400, Refused(400, Problem("PROCESSING_HALTED", str(error))).body)
        replies[part["referenceId"]] = reply
        failed = failed or reply.status >= 400
    if failed and call.body.get("allOrNone"):
        undo()
        replies = {name: _rolled_back(reply) for name, reply in replies.items()}
    shown = [
        {
            "body": reply.body,
            "httpHeaders": dict(reply.headers),
            "httpStatusCode": reply.status,
            "referenceId": name,
        }
        for name, reply in replies.items()
    ]
    return Reply(200, {"compositeResponse": shown})


def _parts(body: Any) -> list[dict[str, Any]]:
    parts = body.get("compositeRequest") if isinstance(body, dict) else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise Refused(400, Problem("JSON_PARSER_ERROR", "compositeRequest is required"))
    queries = [part for part in parts if "/query" in str(part.get("url"))]
    if len(parts) > MOST_PARTS or len(queries) > MOST_QUERIES:
        raise Refused(400, Problem("LIMIT_EXCEEDED", "too many subrequests"))
    names = [part.get("referenceId") for part in parts]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise Refused(400, Problem("INVALID_INPUT", "every referenceId must be unique"))
    return parts


def _call(part: Mapping[str, Any], replies: Mapping[str, Reply]) -> RestCall:
    url = urlsplit(_resolved(str(part.get("url")), replies))
    headers = {name.lower(): str(value) for name, value in (part.get("httpHeaders") or {}).items()}
    if headers.keys() & _OWN_HEADERS:
        raise Refused(400, Problem("INVALID_INPUT", "a subrequest has a forbidden header"))
    body = {
        name: _resolved(value, replies) if isinstance(value, str) else value
        for name, value in (part.get("body") or {}).items()
    }
    method = str(part.get("method"))
    writes = method in {"POST", "PATCH"}
    params = dict(parse_qsl(url.query, keep_blank_values=True))
    return RestCall(method, url.path, params, headers, body if writes else None)


def _resolved(text: str, replies: Mapping[str, Reply]) -> str:
    def value(found: re.Match[str]) -> str:
        reply = replies.get(found[1])
        body = reply.body if reply else None
        if not isinstance(body, dict) or found[2] not in body:
            raise _Halted(
                f"Invalid reference specified. No value for {found[2]} found in {found[1]}"
            )
        return str(body[found[2]])

    return _REFERENCE.sub(value, text)


def _rolled_back(reply: Reply) -> Reply:
    if reply.status >= 400:
        return reply
    text = "The transaction was rolled back since another operation in the same transaction failed."
    return Reply(400, Refused(400, Problem("PROCESSING_HALTED", text)).body)
