"""The kind of failure of every HTTP status."""

from collections.abc import Mapping
from typing import Any

from zenskar.errors import Failure, FailureKind
from zenskar.http.http_errors import BadAnswer, HttpError, RenewalFailed

_KINDS = {
    401: FailureKind.CREDENTIALS,
    403: FailureKind.CREDENTIALS,
    404: FailureKind.NOT_VISIBLE,
    408: FailureKind.UNKNOWN_OUTCOME,
    # Most often an earlier create of the same record took effect, so the core looks for it.
    409: FailureKind.UNKNOWN_OUTCOME,
    410: FailureKind.GONE,
    412: FailureKind.STALE_VERSION,
    423: FailureKind.TRANSIENT,
    425: FailureKind.TRANSIENT,
    429: FailureKind.RATE_LIMITED,
}
_BY_ANYONE = (401, 403, 429)
"""Statuses that mean the same when a proxy sent them."""
_NOT_MADE = {
    FailureKind.RATE_LIMITED: FailureKind.RATE_LIMITED,
    FailureKind.UNKNOWN_OUTCOME: FailureKind.TRANSIENT,
    FailureKind.TRANSIENT: FailureKind.TRANSIENT,
}
"""Kinds for a renewal of credentials, after which the call itself was not made."""


def classify(
    error: Exception,
    overrides: Mapping[Any, FailureKind] | None = None,
    *,
    system: str = "the external system",
) -> Failure | None:
    """Return the failure of an `HttpError`, None for every other error.

    `overrides` maps statuses and machine codes to other kinds; a code goes before a status.
    """
    if not isinstance(error, HttpError):
        return None
    kind = None if isinstance(error, RenewalFailed) else _override(error, overrides or {})
    message = f"{system} {error}"
    return Failure(kind or _kind(error), message, error.code, error.retry_after)


def _override(error: HttpError, overrides: Mapping[Any, FailureKind]) -> FailureKind | None:
    by_code = overrides.get(error.code) if error.code is not None else None
    return by_code or (overrides.get(error.status) if error.status is not None else None)


def _kind(error: HttpError) -> FailureKind:
    if isinstance(error, RenewalFailed):
        return _NOT_MADE.get(_of_status(error.status), FailureKind.CREDENTIALS)
    by_a_proxy = isinstance(error, BadAnswer) and error.status not in _BY_ANYONE
    return FailureKind.UNKNOWN_OUTCOME if by_a_proxy else _of_status(error.status)


def _of_status(status: int | None) -> FailureKind:
    refused = status is not None and 400 <= status < 500
    other = FailureKind.REJECTED if refused else FailureKind.UNKNOWN_OUTCOME
    return _KINDS.get(status or 0, other)
