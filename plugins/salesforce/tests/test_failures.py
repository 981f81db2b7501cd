"""Every refusal of Salesforce and its recovery."""

from typing import Any

import pytest

from plugins.salesforce.tests.conftest import settings_for
from zenskar import CallFailed, Connection, FailureKind, IntentKind, Push
from zenskar.http import BadAnswer, HttpAnswer, HttpError
from zenskar_salesforce import SalesforceIntegration
from zenskar_salesforce.failures import classify, code_of
from zenskar_salesforce.sandbox import Fault, FaultKind, Mode, SalesforceSandbox

K = FailureKind
DUPLICATE = "duplicate value found: {} duplicates value on record with id: 003000000000001AAA"


def failure(status: int, *entries: dict[str, Any], method: str = "PATCH") -> Any:
    body = list(entries) or None
    return classify(HttpError(method, HttpAnswer(status, body), code=code_of(body)))


def entry(code: str, message: str = "ada@example.com", *fields: str) -> dict[str, Any]:
    return {"errorCode": code, "message": message, "fields": list(fields)}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "INVALID_SESSION_ID", K.CREDENTIALS),
        (403, "API_DISABLED_FOR_ORG", K.CREDENTIALS),
        (403, "API_CURRENTLY_DISABLED", K.TRANSIENT),
        (403, "INSUFFICIENT_ACCESS", K.REJECTED),
        (400, "INSUFFICIENT_ACCESS_OR_READONLY", K.REJECTED),
        (400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", K.REJECTED),
        (400, "INVALID_FIELD", K.CREDENTIALS),
        (400, "INVALID_TYPE", K.CREDENTIALS),
        (400, "INVALID_FIELD_FOR_INSERT_UPDATE", K.CREDENTIALS),
        (400, "LIMIT_EXCEEDED", K.CREDENTIALS),
        (400, "STORAGE_LIMIT_EXCEEDED", K.CREDENTIALS),
        (410, "UNSUPPORTED_API_VERSION", K.CREDENTIALS),
        (400, "UNABLE_TO_LOCK_ROW", K.TRANSIENT),
        (400, "TXN_SECURITY_METERING_ERROR", K.TRANSIENT),
        (400, "TOO_MANY_APEX_REQUESTS", K.TRANSIENT),
        (400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", K.TRANSIENT),
        (400, "DUPLICATE_EXTERNAL_ID", K.REJECTED),
        (400, "REQUIRED_FIELD_MISSING", K.REJECTED),
        (400, "STRING_TOO_LONG", K.REJECTED),
        (400, "INVALID_EMAIL_ADDRESS", K.REJECTED),
        (400, "FIELD_INTEGRITY_EXCEPTION", K.REJECTED),
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", K.REJECTED),
        (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", K.REJECTED),
        (400, "NUMBER_OUTSIDE_VALID_RANGE", K.REJECTED),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", K.REJECTED),
        (400, "INVALID_CROSS_REFERENCE_KEY", K.REJECTED),
        (400, "DUPLICATES_DETECTED", K.REJECTED),
        (400, "ENTITY_IS_LOCKED", K.REJECTED),
        (404, "ENTITY_IS_DELETED", K.UNKNOWN_OUTCOME),
        (404, "NOT_FOUND", K.NOT_VISIBLE),
        (400, "MALFORMED_ID", K.NOT_VISIBLE),
        (400, "QUERY_TIMEOUT", K.UNKNOWN_OUTCOME),
        (400, "REQUEST_RUNNING_TOO_LONG", K.UNKNOWN_OUTCOME),
        (500, "UNKNOWN_EXCEPTION", K.UNKNOWN_OUTCOME),
        (503, "SERVER_UNAVAILABLE", K.UNKNOWN_OUTCOME),
    ],
)
def test_a_code_leads_to_a_recovery(status: int, code: str, kind: FailureKind) -> None:
    found = failure(status, entry(code))
    assert (found.kind, found.code) == (kind, code)
    assert "ada@" not in found.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, K.CREDENTIALS),
        (406, K.TRANSIENT),
        (410, K.CREDENTIALS),
        (412, K.STALE_VERSION),
        (420, K.TRANSIENT),
        (428, K.TRANSIENT),
        (429, K.RATE_LIMITED),
        (300, K.REJECTED),
        (302, K.UNKNOWN_OUTCOME),
        (500, K.UNKNOWN_OUTCOME),
        (502, K.UNKNOWN_OUTCOME),
        (503, K.UNKNOWN_OUTCOME),
    ],
)
def test_a_status_without_a_code_leads_to_a_recovery(status: int, kind: FailureKind) -> None:
    assert failure(status).kind is kind


def test_the_two_limits_of_calls_differ_in_their_text() -> None:
    code = "REQUEST_LIMIT_EXCEEDED"
    day = failure(403, entry(code, "TotalRequests Limit exceeded."))
    crowd = failure(
        403, entry(code, "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
    )
    assert {day.kind, crowd.kind} == {K.RATE_LIMITED}
    assert (day.retry_after, crowd.retry_after) == (900, 5)


def test_the_worst_of_several_problems_decides_and_all_are_named() -> None:
    found = failure(
        400,
        entry("UNABLE_TO_LOCK_ROW"),
        entry("STRING_TOO_LONG", "Name: ada@example.com", "LastName", "not a name <ada>"),
        entry("REQUIRED_FIELD_MISSING", "x", "Email"),
    )
    assert (found.kind, found.code) == (K.REJECTED, "STRING_TOO_LONG")
    assert found.message == (
        "Salesforce answered 400 to a PATCH (UNABLE_TO_LOCK_ROW, STRING_TOO_LONG, "
        "REQUIRED_FIELD_MISSING, fields LastName, Email)"
    )


@pytest.mark.parametrize(
    ("method", "field", "kind"),
    [
        ("POST", "Zenskar_Id__c", K.UNKNOWN_OUTCOME),
        ("POST", "Number__c", K.REJECTED),
        ("PATCH", "Zenskar_Id__c", K.REJECTED),
    ],
)
def test_only_a_create_with_our_id_may_have_taken_effect_before(
    method: str, field: str, kind: FailureKind
) -> None:
    found = failure(400, entry("DUPLICATE_VALUE", DUPLICATE.format(field)), method=method)
    assert found.kind is kind


@pytest.mark.parametrize("body", [None, {}, [], [1], [{"errorCode": "no code"}], "text"])
def test_a_refusal_of_another_form_is_judged_by_its_status(body: Any) -> None:
    found = classify(HttpError("PATCH", HttpAnswer(400, body), code=code_of(body)))
    assert found is not None
    assert (found.kind, found.code) == (K.REJECTED, None)


def test_a_second_delete_finds_the_contact_gone() -> None:
    for status in (400, 404):
        assert failure(status, entry("ENTITY_IS_DELETED"), method="DELETE").kind is K.GONE


def test_a_create_at_an_object_that_is_not_visible_is_about_all_records() -> None:
    assert failure(404, entry("NOT_FOUND"), method="POST").kind is K.CREDENTIALS


def test_other_errors_are_not_salesforces() -> None:
    assert classify(ValueError()) is None
    unread = classify(BadAnswer("POST", HttpAnswer(400)))
    assert unread is not None
    assert unread.kind is K.UNKNOWN_OUTCOME


async def test_a_part_of_a_composite_is_refused_like_a_call(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    push = Push(IntentKind.CREATE, "customer", "rec_1", None, {"LastName": "x" * 81})
    with pytest.raises(HttpError) as caught:
        await salesforce.push(push)
    found = salesforce.classify_error(caught.value)
    assert found is not None
    assert (found.kind, found.code) == (K.REJECTED, "STRING_TOO_LONG")
    assert "LastName" in found.message
    assert "xxx" not in found.message


async def test_a_login_that_is_refused_means_wrong_credentials(sandbox: SalesforceSandbox) -> None:
    given = settings_for(sandbox, client_secret="wrong-secret")
    salesforce = SalesforceIntegration(Connection("salesforce", given))
    with pytest.raises(HttpError) as caught:
        await salesforce.fetch("customer", "003000000000001AAA")
    found = salesforce.classify_error(caught.value)
    await salesforce.close()
    assert found is not None
    assert (found.kind, found.code) == (K.CREDENTIALS, "invalid_client")
    assert "wrong-secret" not in f"{found} {caught.value!r}"


async def test_an_html_answer_is_unknown(
    sandbox: SalesforceSandbox, salesforce: SalesforceIntegration
) -> None:
    sandbox.faults.add(Fault(kind=FaultKind.TRUNCATE, mode=Mode.HTML, method="GET"))
    with pytest.raises((HttpError, CallFailed)) as caught:
        await salesforce.find("customer", "rec_1")
    found = salesforce.classify_error(caught.value)
    assert found is not None
    assert found.kind is K.UNKNOWN_OUTCOME
