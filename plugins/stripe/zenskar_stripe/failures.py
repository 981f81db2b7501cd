"""Classify the errors of failed calls: https://docs.stripe.com/error-low-level."""

from typing import Any

import aiohttp
import stripe

from zenskar import Failure, FailureKind, http_date
from zenskar.http import machine_code, retry_after
from zenskar_stripe.budget import NoTurn

_RETRIED = ("lock_timeout", "idempotency_key_in_use")
"""Codes of temporary refusals. A lock on one object says nothing about the other calls."""


class UnreadableAnswer(Exception):
    """The answer of Stripe or of a proxy is not an object of the API."""


def classify(error: Exception) -> Failure | None:
    """Return the failure of an error; None for errors that are not Stripe's or the network's."""
    if isinstance(error, stripe.StripeError):
        return _of_stripe(error)
    if isinstance(error, NoTurn):
        return Failure(FailureKind.RATE_LIMITED, str(error), retry_after=error.seconds)
    if isinstance(error, (UnreadableAnswer, aiohttp.ClientError, OSError)):
        return Failure(FailureKind.UNKNOWN_OUTCOME, f"{type(error).__name__} during the call")
    return None


def is_lost_cursor(error: stripe.StripeError) -> bool:
    """Return whether the cursor of a list names an object that no longer exists."""
    return getattr(error, "param", None) == "starting_after"


def _of_stripe(error: stripe.StripeError) -> Failure:
    replayed = _header(error, "Idempotent-Replayed") == "true"
    wait = retry_after(_header(error, "Retry-After"), http_date(_header(error, "Date")))
    return Failure(_kind(error), _message(error), _code(error), wait, replayed)


def _kind(error: stripe.StripeError) -> FailureKind:
    status, code = error.http_status, _code(error)
    if code in _RETRIED:
        return FailureKind.TRANSIENT
    if status == 429 or isinstance(error, stripe.RateLimitError):
        return FailureKind.RATE_LIMITED
    if _refused_credentials(error):
        return FailureKind.CREDENTIALS
    if _refused(error) and _header(error, "Stripe-Should-Retry") == "true":
        return FailureKind.TRANSIENT
    if status == 404 and code == "resource_missing":
        # Stripe shows a deleted customer as a stub, so this customer belongs to another account.
        return FailureKind.NOT_VISIBLE
    return FailureKind.REJECTED if _refused(error) else FailureKind.UNKNOWN_OUTCOME


def _refused_credentials(error: stripe.StripeError) -> bool:
    if isinstance(error, (stripe.AuthenticationError, stripe.PermissionError)):
        return True
    # With a key of the other mode every object looks deleted; only the text shows the difference.
    other_mode = "similar object exists in" in str(error.user_message or "")
    return other_mode or error.http_status in (401, 403)


def _refused(error: stripe.StripeError) -> bool:
    # A refusal in another form than Stripe's comes from a proxy.
    own_form = type(error) is not stripe.APIError or bool(_details(error))
    status = error.http_status or 0
    return own_form and 400 <= status < 500 and status != 408


def _details(error: stripe.StripeError) -> dict[str, Any]:
    body = error.json_body
    details = body.get("error") if isinstance(body, dict) else None
    return details if isinstance(details, dict) else {}


def _code(error: stripe.StripeError) -> str | None:
    code = error.code or _details(error).get("code")
    if code is None and isinstance(error, stripe.IdempotencyError):
        code = "idempotency_error"
    return machine_code(code)


def _message(error: stripe.StripeError) -> str:
    """Describe the error without Stripe's own text, which repeats values of the request."""
    if error.http_status is None:
        return f"{type(error).__name__} during the call"
    param = getattr(error, "param", None) or _details(error).get("param")
    parts = {
        "code": _code(error),
        "parameter": machine_code(str(param).partition("[")[0]) if param else None,
        "reason": machine_code(_header(error, "Stripe-Rate-Limited-Reason")),
        "request": machine_code(error.request_id),
    }
    details = ", ".join(f"{name} {value}" for name, value in parts.items() if value)
    return f"Stripe answered {error.http_status}" + (f" ({details})" if details else "")


def _header(error: stripe.StripeError, name: str) -> str | None:
    headers = {key.lower(): value for key, value in (error.headers or {}).items()}
    return headers.get(name.lower())
