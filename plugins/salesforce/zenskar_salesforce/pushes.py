"""Make pushes: each write with a read of its record, all in one call."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from zenskar import IntentKind, Push, PushResult
from zenskar.http import BadAnswer, HttpAnswer, HttpError
from zenskar_salesforce.client import MOST_PARTS, Part, SalesforceApi
from zenskar_salesforce.failures import code_of
from zenskar_salesforce.object_kinds import ObjectKind, condition
from zenskar_salesforce.record_ids import long_id

MOST_PUSHES = MOST_PARTS // 2
"""The most pushes of one call: a write and a read each."""


async def send(
    api: SalesforceApi, pushes: Sequence[Push], create_headers: Mapping[str, str]
) -> list[PushResult | HttpError]:
    """Return the result of each push, or its refusal. Raises `HttpError` when the call fails."""
    parts = [_parts(api.kind, number, push, create_headers) for number, push in enumerate(pushes)]
    answers = iter(await api.composite(*(part for group in parts for part in group)))
    found = [[next(answers) for _ in group] for group in parts]
    return [
        _result(api.kind, push, group[0], each)
        for push, group, each in zip(pushes, parts, found, strict=True)
    ]


def _parts(
    kind: ObjectKind, number: int, push: Push, create_headers: Mapping[str, str]
) -> list[Part]:
    name, rows = f"write{number}", f"/sobjects/{kind.name}"
    if push.kind is IntentKind.CREATE:
        write = Part(name, "POST", rows, push.body, create_headers)
        return [write, _read(kind, number, f"@{{{name}.id}}")]
    if push.external_id is None:
        raise ValueError(f"a push of kind {push.kind} needs an external id")
    reference = quote(push.external_id, safe="")
    path = f"{rows}/{reference}"
    if push.kind is IntentKind.DELETE:
        return [Part(name, "DELETE", path)]
    headers = condition(push.if_version) if push.if_version else {}
    return [Part(name, "PATCH", path, push.body, headers), _read(kind, number, reference)]


def _read(kind: ObjectKind, number: int, reference: str) -> Part:
    fields = ",".join(kind.columns)
    return Part(f"read{number}", "GET", f"/sobjects/{kind.name}/{reference}?fields={fields}")


def _result(
    kind: ObjectKind, push: Push, write: Part, answers: Sequence[HttpAnswer]
) -> PushResult | HttpError:
    """Return the result of a push.

    A write that succeeded counts, also when the record is not visible to us any more.
    """
    written, *shown = answers
    if not 200 <= written.status < 300:
        return HttpError(write.method, written, code=code_of(written.body))
    try:
        for answer in shown:
            if answer.status == 200 and isinstance(answer.body, dict):
                return PushResult(kind.seen(answer.body, answer.answered_at))
        external_id = push.external_id or _new_id(written)
    except BadAnswer as error:
        return error
    return PushResult.unseen(push, external_id, answered_at=written.answered_at)


def _new_id(written: HttpAnswer) -> str:
    """Return the id in the answer of a create. Raises `BadAnswer` for an answer without one."""
    body = written.body if isinstance(written.body, dict) else {}
    identifier = long_id(str(body.get("id")))
    if identifier is None:
        raise BadAnswer("POST", written, problem="no id")
    return identifier
