"""Errors are classified by the next action, and their messages repeat no customer data."""

from typing import Any

import aiohttp
import pytest
import stripe

from zenskar import FailureKind
from zenskar_stripe.budget import NoTurn
from zenskar_stripe.failures import UnreadableAnswer, classify

from .conftest import connect

SECRETS = ("ada@example.com", "sk_test_abc", "Lovelace")
TEXT = f"Invalid email address: {' '.join(SECRETS)}"


def failed(
    kind: type[stripe.StripeError], status: int | None, headers: Any = None, **details: Any
) -> stripe.StripeError:
    """An error as the SDK raises it."""
    body = {"error": {"message": TEXT, **details}}
    headers = {"request-id": "req_1", **(headers or {})}
    if issubclass(kind, (stripe.InvalidRequestError, stripe.CardError)):
        given = (details.get("param"), details.get("code"))
        return kind(body["error"]["message"], *given, None, status, body, headers)
    return kind(TEXT, None, status, body, headers)


RETRY = {"Stripe-Should-Retry": "true"}
CASES = [
    (failed(stripe.InvalidRequestError, 400, code="email_invalid"), FailureKind.REJECTED),
    (failed(stripe.CardError, 402, code="card_declined"), FailureKind.REJECTED),
    (failed(stripe.InvalidRequestError, 404), FailureKind.REJECTED),
    (failed(stripe.APIError, 409, code="conflict"), FailureKind.REJECTED),
    (failed(stripe.APIError, 405), FailureKind.REJECTED),
    (failed(stripe.IdempotencyError, 400), FailureKind.REJECTED),
    (failed(stripe.APIError, 409, code="idempotency_key_in_use"), FailureKind.TRANSIENT),
    (failed(stripe.InvalidRequestError, 404, code="resource_missing"), FailureKind.NOT_VISIBLE),
    (failed(stripe.InvalidRequestError, 400, code="resource_missing"), FailureKind.REJECTED),
    (failed(stripe.AuthenticationError, 401), FailureKind.CREDENTIALS),
    (failed(stripe.PermissionError, 403), FailureKind.CREDENTIALS),
    (failed(stripe.RateLimitError, 429, code="rate_limit"), FailureKind.RATE_LIMITED),
    (failed(stripe.RateLimitError, 400, code="rate_limit"), FailureKind.RATE_LIMITED),
    (failed(stripe.RateLimitError, 429, code="lock_timeout"), FailureKind.TRANSIENT),
    (failed(stripe.APIError, 409, code="lock_timeout"), FailureKind.TRANSIENT),
    (failed(stripe.InvalidRequestError, 400, code="lock_timeout"), FailureKind.TRANSIENT),
    (failed(stripe.InvalidRequestError, 400, RETRY), FailureKind.TRANSIENT),
    (failed(stripe.APIError, 409, RETRY, code="conflict"), FailureKind.TRANSIENT),
    (failed(stripe.RateLimitError, 429, RETRY, code="rate_limit"), FailureKind.RATE_LIMITED),
    (failed(stripe.AuthenticationError, 401, RETRY), FailureKind.CREDENTIALS),
    (failed(stripe.APIError, 500, RETRY), FailureKind.UNKNOWN_OUTCOME),
    *[
        (failed(stripe.APIError, status), FailureKind.UNKNOWN_OUTCOME)
        for status in (302, 408, 500, 502, 503, 504)
    ],
    (stripe.APIError("<html>", "<html>", 200), FailureKind.UNKNOWN_OUTCOME),
    (stripe.APIError("<html>", "<html>", 404), FailureKind.UNKNOWN_OUTCOME),
    (stripe.APIError("<html>", "<html>", 429), FailureKind.RATE_LIMITED),
    (stripe.APIError("<html>", "<html>", 403), FailureKind.CREDENTIALS),
    (failed(stripe.APIConnectionError, None), FailureKind.UNKNOWN_OUTCOME),
    (aiohttp.ClientPayloadError("cut"), FailureKind.UNKNOWN_OUTCOME),
    (aiohttp.ServerDisconnectedError(), FailureKind.UNKNOWN_OUTCOME),
    (TimeoutError(), FailureKind.UNKNOWN_OUTCOME),
    (ConnectionResetError(), FailureKind.UNKNOWN_OUTCOME),
    (UnreadableAnswer("no object"), FailureKind.UNKNOWN_OUTCOME),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=[repr(error)[:60] for error, _ in CASES])
def test_every_error_says_what_to_do_next(error: Exception, kind: FailureKind) -> None:
    failure = connect().classify_error(error)
    assert failure is not None
    assert failure.kind is kind
    assert not any(secret in repr(failure) for secret in SECRETS)


@pytest.mark.parametrize("error", [KeyError("id"), ValueError(), RuntimeError()])
def test_an_unknown_error_is_left_to_the_core(error: Exception) -> None:
    assert connect().classify_error(error) is None


def test_the_message_helps_to_find_the_call() -> None:
    failure = connect().classify_error(
        failed(stripe.InvalidRequestError, 400, code="email_invalid", param="email")
    )
    assert failure is not None
    expected = "Stripe answered 400 (code email_invalid, parameter email, request req_1)"
    assert (failure.message, failure.code) == (expected, "email_invalid")


@pytest.mark.parametrize("field", ["code", "param"])
def test_a_detail_that_is_no_word_is_left_out(field: str) -> None:
    failure = connect().classify_error(
        failed(stripe.InvalidRequestError, 400, **{field: "ada@example.com"})
    )
    assert failure is not None
    assert (failure.message, failure.code) == ("Stripe answered 400 (request req_1)", None)


def test_a_metadata_key_is_not_told() -> None:
    failure = connect().classify_error(
        failed(stripe.InvalidRequestError, 400, param="metadata[Lovelace]")
    )
    assert failure is not None
    assert failure.message == "Stripe answered 400 (parameter metadata, request req_1)"


def test_a_key_of_the_other_mode_does_not_make_every_customer_gone() -> None:
    text = "No such customer: 'cus_1'; a similar object exists in live mode, but a test mode key"
    failure = connect().classify_error(
        failed(stripe.InvalidRequestError, 404, code="resource_missing", message=text)
    )
    assert failure is not None
    assert failure.kind is FailureKind.CREDENTIALS


def test_a_reused_key_has_a_code_of_its_own() -> None:
    failure = connect().classify_error(failed(stripe.IdempotencyError, 400))
    assert failure is not None
    assert failure.code == "idempotency_error"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("999999", 86_400.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
    ],
)
def test_how_long_to_wait(given: str | None, seconds: float | None) -> None:
    headers = {"date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    headers |= {} if given is None else {"retry-AFTER": given}
    failure = connect().classify_error(failed(stripe.RateLimitError, 429, headers))
    assert failure is not None
    assert failure.retry_after == seconds


def test_why_the_rate_was_limited() -> None:
    headers = {"Stripe-Rate-Limited-Reason": "endpoint-rate"}
    failure = connect().classify_error(failed(stripe.RateLimitError, 429, headers))
    assert failure is not None
    assert failure.message == "Stripe answered 429 (reason endpoint-rate, request req_1)"


def test_a_call_that_was_not_made_for_want_of_a_turn_comes_again() -> None:
    failure = classify(NoTurn(12.5))
    assert failure is not None
    assert (failure.kind, failure.retry_after) == (FailureKind.RATE_LIMITED, 12.5)
