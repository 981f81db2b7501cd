"""Return errors as `application/problem+json` (RFC 9457)."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.api.http import statuses
from zenskar.catalog.service import StaleVersion
from zenskar.db.idempotency import IdempotencyKeyReused
from zenskar.errors import (
    BadSignature,
    CallFailed,
    FailureKind,
    InvalidInput,
    NotFound,
    SchemaViolation,
    StateConflict,
    Unavailable,
    Violation,
    ZenskarError,
)
from zenskar.telemetry.logs import get_logger

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
_LONGEST = 500
_TYPE = "https://zenskar.dev/problems/"
_log = get_logger(__name__)

_KINDS: tuple[tuple[type[ZenskarError], int, str], ...] = (
    (StaleVersion, 412, "stale-version"),
    (IdempotencyKeyReused, 422, "idempotency-key-reused"),
    (SchemaViolation, 422, "schema-violation"),
    (BadSignature, 400, "bad-signature"),
    (InvalidInput, 400, "invalid-input"),
    (NotFound, 404, "not-found"),
    (StateConflict, 409, "conflict"),
    (CallFailed, 502, "call-failed"),
    (Unavailable, 503, "unavailable"),
)

_DETAILS = {
    404: "there is nothing at this address",
    405: "this address does not take that method",
    408: "the request did not arrive in time",
    413: "the body is larger than is accepted here",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """The error of one request, as its sender sees it."""

    status: int
    kind: str
    detail: str
    violations: Sequence[Violation] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """Return the response."""
        body: dict[str, Any] = {
            "type": _TYPE + self.kind,
            "title": statuses.title(self.status),
            "status": self.status,
            "detail": _clipped(self.detail),
        }
        if self.violations:
            body["errors"] = [
                {"pointer": _clipped(v.pointer), "message": _clipped(v.message)}
                for v in self.violations
            ]
        return web.Response(
            body=orjson.dumps(body),
            status=self.status,
            content_type=MEDIA_TYPE,
            headers=dict(self.headers),
        )


def _clipped(text: str) -> str:
    """Shorten text that may repeat a name of the sender's."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def of_error(error: ZenskarError, status: int | None = None) -> Problem | None:
    """Return the problem of an error that is meant for the sender; None for any other error."""
    if isinstance(error, CallFailed) and error.failure.kind is FailureKind.BUG:
        return None
    for kind, usual, name in _KINDS:
        if isinstance(error, kind):
            violations = error.violations if isinstance(error, SchemaViolation) else ()
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if usual == 503 else {}
            return Problem(status or usual, name, _detail(error), violations, headers)
    return None


def _detail(error: ZenskarError) -> str:
    """Return the text of an error; a failed call may repeat what an external system said."""
    if isinstance(error, CallFailed):
        return f"a call to the external system failed: {error.failure.kind.value}"
    return str(error)


def of_http(error: web.HTTPException) -> Problem:
    """Return the problem of an error that aiohttp or a handler has raised as an HTTP status."""
    title = statuses.title(error.status)
    generic = error.text is None or error.text.startswith(f"{error.status}: ")
    detail = _DETAILS.get(error.status, title) if generic else error.text
    headers = {
        name: value
        for name, value in error.headers.items()
        if name.lower() not in {"content-type", "content-length"}
    }
    return Problem(error.status, statuses.kind(error.status), detail or title, headers=headers)


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error of a request as a problem."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return response_to(error)
    except Exception as error:  # noqa: BLE001 - the last resort of every request
        return response_to(error)


def response_to(error: Exception) -> web.Response:
    """Return the response to any error; an unexpected error says nothing about itself."""
    response = problem_of(error).response()
    if isinstance(error, web.HTTPException) and error.keep_alive is False:
        response.force_close()
    return response


def problem_of(error: Exception) -> Problem:
    """Return the problem of any error, and log an error that no sender has caused."""
    if isinstance(error, web.HTTPException):
        return of_http(error)
    problem = of_error(error) if isinstance(error, ZenskarError) else None
    if problem is None:
        return _unexpected(error)
    if problem.status == 503:
        _log.warning("request_unavailable", detail=problem.detail)
    return problem


def _unexpected(error: Exception) -> Problem:
    """Log the types and the traceback only: the text of an error may hold personal data."""
    _log.error(
        "request_failed",
        error_types=[type(e).__name__ for e in _chain(error)],
        traceback="".join(traceback.format_tb(error.__traceback__)),
    )
    return Problem(500, "internal", "something went wrong here; it has been logged")


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
