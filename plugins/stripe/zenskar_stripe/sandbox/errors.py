"""Errors in the shape in which Stripe answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DOCS = "https://stripe.com/docs/error-codes/"


class BadInput(ValueError):
    """Input to the sandbox's own controls that makes no sense."""


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
        """The JSON body; absent members are left out, as Stripe does."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code is not None:
            error |= {"code": self.code, "doc_url": _DOCS + self.code.replace("_", "-")}
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A parameter that failed validation."""
    return ApiError(400, message, param=param, code=code)


def unknown_parameters(names: Sequence[str]) -> ApiError:
    """Parameters that the endpoint does not know."""
    plural = "s" if len(names) > 1 else ""
    message = f"Received unknown parameter{plural}: {', '.join(names)}"
    return invalid(message, names[0], "parameter_unknown")


def missing_parameter(name: str) -> ApiError:
    """A required parameter that was not given."""
    return invalid(f"Missing required param: {name}.", name, "parameter_missing")


def no_such(noun: str, identifier: str, *, param: str = "id", status: int = 404) -> ApiError:
    """A resource that does not exist: 404 from the path, 400 from a parameter."""
    message = f"No such {noun}: '{identifier}'"
    return ApiError(status, message, code="resource_missing", param=param)


def unrecognized_url(method: str, path: str) -> ApiError:
    """A route that the API does not have."""
    help_text = "Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
    return ApiError(404, f"Unrecognized request URL ({method}: {path}). {help_text}")


def unauthorized(message: str) -> ApiError:
    """An API key that is absent or wrong."""
    return ApiError(401, message, headers={"WWW-Authenticate": 'Basic realm="Stripe"'})


def key_in_use(key: str) -> ApiError:
    """The first request with this idempotency key is still being worked on."""
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later."
    )
    return ApiError(409, message, code="idempotency_key_in_use")


def key_reused(key: str) -> ApiError:
    """The idempotency key belongs to a request with other parameters."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first "
        f"used with. Try using a key other than '{key}' if you meant to execute a different "
        "request."
    )
    return ApiError(400, message, kind="idempotency_error")


def server_error() -> ApiError:
    """Something went wrong on Stripe's end."""
    message = "An unknown error occurred. If this persists, contact support@stripe.com."
    return ApiError(500, message, kind="api_error")


def rate_limited(reason: str, retry_after: int | None) -> ApiError:
    """Too many requests hit the API too quickly."""
    headers = {"Stripe-Rate-Limited-Reason": reason}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    message = "Request rate limit exceeded. Learn more: https://stripe.com/docs/rate-limits"
    return ApiError(429, message, code="rate_limit", headers=headers)
