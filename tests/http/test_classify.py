"""Every status and every error leads to the next action."""

from typing import Any

import pytest

from zenskar.errors import FailureKind
from zenskar.http import BadAnswer, HttpAnswer, HttpError, NoAnswer, RenewalFailed, classify

STATUSES = {
    204: FailureKind.UNKNOWN_OUTCOME,
    302: FailureKind.UNKNOWN_OUTCOME,
    400: FailureKind.REJECTED,
    401: FailureKind.CREDENTIALS,
    403: FailureKind.CREDENTIALS,
    404: FailureKind.NOT_VISIBLE,
    405: FailureKind.REJECTED,
    408: FailureKind.UNKNOWN_OUTCOME,
    409: FailureKind.UNKNOWN_OUTCOME,
    410: FailureKind.GONE,
    412: FailureKind.STALE_VERSION,
    422: FailureKind.REJECTED,
    423: FailureKind.TRANSIENT,
    425: FailureKind.TRANSIENT,
    429: FailureKind.RATE_LIMITED,
    500: FailureKind.UNKNOWN_OUTCOME,
    503: FailureKind.UNKNOWN_OUTCOME,
    999: FailureKind.UNKNOWN_OUTCOME,
}
BY_A_PROXY = {
    200: FailureKind.UNKNOWN_OUTCOME,
    400: FailureKind.UNKNOWN_OUTCOME,
    403: FailureKind.CREDENTIALS,
    404: FailureKind.UNKNOWN_OUTCOME,
    410: FailureKind.UNKNOWN_OUTCOME,
    429: FailureKind.RATE_LIMITED,
    502: FailureKind.UNKNOWN_OUTCOME,
}
RENEWALS = {
    400: FailureKind.CREDENTIALS,
    401: FailureKind.CREDENTIALS,
    404: FailureKind.CREDENTIALS,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.TRANSIENT,
}


def kind(error: Exception, overrides: Any = None) -> FailureKind | None:
    failure = classify(error, overrides)
    return failure and failure.kind


def answered(status: int, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, {"email": "ada@example.com"}, headers)


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
def test_a_status(status: int, expected: FailureKind) -> None:
    assert kind(HttpError("POST", answered(status))) is expected


@pytest.mark.parametrize(("status", "expected"), BY_A_PROXY.items())
def test_an_answer_of_another_form_proves_nothing(status: int, expected: FailureKind) -> None:
    assert kind(BadAnswer("POST", answered(status))) is expected


@pytest.mark.parametrize(("status", "expected"), RENEWALS.items())
def test_a_failed_renewal_had_no_effect(status: int, expected: FailureKind) -> None:
    assert kind(RenewalFailed("POST", answered(status))) is expected
    assert kind(RenewalFailed("POST")) is FailureKind.TRANSIENT
    # The overrides are about the answers to the call itself.
    assert kind(RenewalFailed("POST", answered(status)), {status: FailureKind.GONE}) is expected


def test_no_answer() -> None:
    assert kind(NoAnswer("POST", problem="TimeoutError")) is FailureKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize("error", [KeyError("x"), TimeoutError(), ValueError()])
def test_every_other_error_is_left_to_the_caller(error: Exception) -> None:
    assert classify(error) is None


def test_the_integration_knows_better() -> None:
    locked = HttpError("POST", answered(409), code="locked")
    overrides = {409: FailureKind.REJECTED, "locked": FailureKind.TRANSIENT}
    assert kind(locked, overrides) is FailureKind.TRANSIENT
    assert kind(HttpError("POST", answered(409), code="taken"), overrides) is FailureKind.REJECTED
    assert kind(HttpError("POST", answered(500)), overrides) is FailureKind.UNKNOWN_OUTCOME
    assert kind(NoAnswer("POST"), overrides) is FailureKind.UNKNOWN_OUTCOME


def test_the_failure_names_the_call_but_no_value() -> None:
    error = HttpError("POST", answered(429, **{"Retry-After": "3"}), code="too_many")
    failure = classify(error, system="the CRM")
    assert failure is not None
    assert failure.message == "the CRM answered 429 to a POST (code too_many)"
    assert (failure.code, failure.retry_after) == ("too_many", 3.0)
    missing = classify(NoAnswer("GET", problem="TimeoutError"), system="the CRM")
    assert missing is not None
    assert missing.message == "the CRM did not answer a GET (TimeoutError)"
