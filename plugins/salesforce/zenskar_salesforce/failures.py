"""Classify refusals: https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_concepts_core_data_objects.htm."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from zenskar import Failure, FailureKind
from zenskar.http import BadAnswer, HttpError, NoAnswer, RenewalFailed, machine_code
from zenskar.http import classify as by_status

EXTERNAL_ID = "Zenskar_Id__c"
"""The unique field that carries the id of our record."""

_DAY_IS_OVER_SECONDS = 900.0
"""A pause when the calls of 24 hours are used up: Salesforce says no time, and the day rolls."""
_CROWDED_SECONDS = 5.0
_MOST_FIELDS = 5

_DELETED = "ENTITY_IS_DELETED"
_ADMIN = FailureKind.CREDENTIALS
"""Every record fails alike until an admin of the org acts, so the connection is paused."""
_KINDS = {
    "INVALID_SESSION_ID": FailureKind.CREDENTIALS,
    "API_DISABLED_FOR_ORG": FailureKind.CREDENTIALS,
    "REQUEST_LIMIT_EXCEEDED": FailureKind.RATE_LIMITED,
    **dict.fromkeys(
        (
            *("INVALID_FIELD", "INVALID_TYPE", "INVALID_FIELD_FOR_INSERT_UPDATE"),
            *("LIMIT_EXCEEDED", "STORAGE_LIMIT_EXCEEDED", "UNSUPPORTED_API_VERSION"),
        ),
        _ADMIN,
    ),
    **dict.fromkeys(
        (
            *("UNABLE_TO_LOCK_ROW", "API_CURRENTLY_DISABLED", "TXN_SECURITY_METERING_ERROR"),
            *("TOO_MANY_APEX_REQUESTS", "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"),
        ),
        FailureKind.TRANSIENT,
    ),
    **dict.fromkeys(
        (
            *("UNKNOWN_EXCEPTION", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG"),
            "QUERY_TIMEOUT",
        ),
        FailureKind.UNKNOWN_OUTCOME,
    ),
    _DELETED: FailureKind.GONE,
    "NOT_FOUND": FailureKind.NOT_VISIBLE,
    "MALFORMED_ID": FailureKind.NOT_VISIBLE,
    "INVALID_QUERY_FILTER_OPERATOR": FailureKind.NOT_VISIBLE,
    # The owner of one record, not our key: the other records are not affected.
    "INSUFFICIENT_ACCESS": FailureKind.REJECTED,
    "INSUFFICIENT_ACCESS_OR_READONLY": FailureKind.REJECTED,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": FailureKind.REJECTED,
}
_STATUSES: dict[int | str, FailureKind] = {
    # Several records have one external id: the field is not unique.
    300: FailureKind.REJECTED,
    # A retired version of the API, and no deleted record.
    410: FailureKind.CREDENTIALS,
    406: FailureKind.TRANSIENT,
    420: FailureKind.TRANSIENT,
    428: FailureKind.TRANSIENT,
}
_WORST_FIRST = (
    FailureKind.CREDENTIALS,
    FailureKind.REJECTED,
    FailureKind.GONE,
    FailureKind.NOT_VISIBLE,
    FailureKind.UNKNOWN_OUTCOME,
    FailureKind.RATE_LIMITED,
    FailureKind.TRANSIENT,
)


class _Problem(NamedTuple):
    code: str
    kind: FailureKind
    text: str
    fields: tuple[str, ...]


def code_of(body: Any) -> str | None:
    """Return the code of the worst problem in the body of a refusal, None without one."""
    worst = _worst(_problems(body, "", 400))
    return worst.code if worst else None


def classify(error: Exception) -> Failure | None:
    """Return the failure of an error; None for errors that are not Salesforce's or the network's.

    The message names codes and fields, and never repeats Salesforce's text, which holds values.
    """
    if not isinstance(error, HttpError):
        return None
    other = by_status(error, _STATUSES, system="Salesforce")
    if isinstance(error, RenewalFailed | NoAnswer | BadAnswer) or error.answer is None:
        return other
    problems = list(_problems(error.answer.body, error.method, error.answer.status))
    worst = _worst(problems)
    if worst is None or error.answer.status in (401, 412, 429) or error.answer.status >= 500:
        return other
    wait = error.retry_after or _wait(worst)
    return Failure(worst.kind, _message(error, problems), worst.code, wait)


def _problems(body: Any, method: str, status: int) -> Iterator[_Problem]:
    for entry in body if isinstance(body, list) else ():
        code = machine_code(entry.get("errorCode")) if isinstance(entry, dict) else None
        if code is not None:
            text, fields = str(entry.get("message")), entry.get("fields")
            names = fields if isinstance(fields, list) else ()
            clean = tuple(name for name in map(machine_code, names) if name)
            yield _Problem(code, _kind(code, text, method, status), text, clean)


def _kind(code: str, text: str, method: str, status: int) -> FailureKind:
    if code == "DUPLICATE_VALUE" and method == "POST" and EXTERNAL_ID in text:
        # An earlier create of the same record took effect, so the core looks for it.
        return FailureKind.UNKNOWN_OUTCOME
    if code == _DELETED and method == "PATCH":
        # A merge deletes a contact too, so the core fetches the contact before it deletes a record.
        return FailureKind.UNKNOWN_OUTCOME
    if code == "NOT_FOUND" and method == "POST":
        # The address of a create names no record, so our user may not see the object at all.
        return _ADMIN
    known = _KINDS.get(code) or _STATUSES.get(status)
    if known is not None:
        return known
    return FailureKind.REJECTED if 400 <= status < 500 else FailureKind.UNKNOWN_OUTCOME


def _worst(problems: Any) -> _Problem | None:
    return min(problems, key=lambda each: _WORST_FIRST.index(each.kind), default=None)


def _wait(problem: _Problem) -> float | None:
    if problem.kind is not FailureKind.RATE_LIMITED:
        return None
    # The two limits differ in their text only.
    return _DAY_IS_OVER_SECONDS if "TotalRequests" in problem.text else _CROWDED_SECONDS


def _message(error: HttpError, problems: list[_Problem]) -> str:
    codes = dict.fromkeys(each.code for each in problems)
    fields = list(dict.fromkeys(name for each in problems for name in each.fields))
    named = f", fields {', '.join(fields[:_MOST_FIELDS])}" if fields else ""
    return f"Salesforce answered {error.status} to a {error.method} ({', '.join(codes)}{named})"
