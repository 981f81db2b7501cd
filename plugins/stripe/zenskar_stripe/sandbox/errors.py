"""Errors in the shape of Stripe's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DOCS = "https://stripe.com/docs/error-codes/"


class ApiError(Exception):
    """A refusal with Stripe's status, type, code, message and parameter."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON body, without absent members, as at Stripe."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code is not None:
            error |= {"code": self.code, "doc_url": _DOCS + self.code.replace("_", "-")}
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return the error for a parameter that failed validation."""
    return ApiError(400, message, param=param, code=code)


def unknown_parameters(names: Sequence[str]) -> ApiError:
    """Return the error for parameters that the endpoint does not know."""
    plural = "s" if len(names) > 1 else ""
    message = f"Received unknown parameter{plural}: {', '.join(names)}"
    return invalid(message, names[0], "parameter_unknown")


def missing_parameter(name: str) -> ApiError:
    """Return the error for a missing required parameter."""
    return invalid(f"Missing required param: {name}.", name, "parameter_missing")


def no_such(noun: str, identifier: str, *, param: str = "id", status: int = 404) -> ApiError:
    """Return the error for a missing resource: 404 from the path, 400 from a parameter."""
    message = f"No such {noun}: '{identifier}'"
    return ApiError(status, message, code="resource_missing", param=param)


def unrecognized_url(method: str, path: str) -> ApiError:
    """Return the error for an unknown route."""
    help_text = "Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
    return ApiError(404, f"Unrecognized request URL ({method}: {path}). {help_text}")


def unauthorized(message: str) -> ApiError:
    """Return the error for an absent or wrong API key."""
    return ApiError(401, message, headers={"WWW-Authenticate": 'Basic realm="Stripe"'})


def key_in_use(key: str) -> ApiError:
    """Return the error for an idempotency key whose first request is still in progress."""
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later."
    )
    return ApiError(409, message, code="idempotency_key_in_use")


def key_reused(key: str) -> ApiError:
    """Return the error for an idempotency key of a request with other parameters."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first "
        f"used with. Try using a key other than '{key}' if you meant to execute a different "
        "request."
    )
    return ApiError(400, message, kind="idempotency_error")


def server_error() -> ApiError:
    """Return the error for a failure of Stripe."""
    message = "An unknown error occurred. If this persists, contact support@stripe.com."
    return ApiError(500, message, kind="api_error")


def injected(status: int, code: str, reason: str) -> ApiError:
    """Return the error of a fault that refuses a call."""
    return ApiError(status, f"Refused by a fault: {reason}", code=code or None)


def rate_limited(reason: str, retry_after: int | None) -> ApiError:
    """Return the error for too many requests."""
    headers = {"Stripe-Rate-Limited-Reason": reason}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    message = "Request rate limit exceeded. Learn more: https://stripe.com/docs/rate-limits"
    return ApiError(429, message, code="rate_limit", headers=headers)
