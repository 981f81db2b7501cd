"""Calls of the sandbox: tokens, composites, the allowance, faults and the control surface."""

import asyncio
from typing import Any

import aiohttp
import pytest

from plugins.salesforce.tests.conftest import ADA, BASE, Caller
from zenskar_salesforce.sandbox import Fault, FaultKind, Mode, SalesforceSandbox

ROWS = "/sobjects/Contact"


async def test_the_token_endpoint_takes_a_form_with_the_secret_only(caller: Caller) -> None:
    made = await caller.log_in()
    assert made.status == 200
    assert made.body["instance_url"] == caller.sandbox.base_url
    assert f"/id/{caller.sandbox.org_id}/" in made.body["id"]
    assert "expires_in" not in made.body
    for form, error in [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "wrong"}, "invalid_client_id"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ]:
        refused = await caller.log_in(**form)
        assert (refused.status, refused.body["error"]) == (400, error)
    as_json = await caller.raw("POST", "/services/oauth2/token", json={"grant_type": "x"})
    assert as_json.status == 400


async def test_tokens_end_without_use_and_when_revoked(caller: Caller) -> None:
    first = caller.token
    await caller.log_in()
    caller.token = first
    caller.sandbox.shift_clock(7000)
    assert (await caller.call("GET", ROWS + "/describe")).status == 200
    caller.sandbox.shift_clock(14_000)
    assert (await caller.call("GET", ROWS + "/describe")).status == 200
    caller.sandbox.shift_clock(21_201)
    reply = await caller.call("GET", ROWS + "/describe")
    assert (reply.status, reply.codes) == (401, ["INVALID_SESSION_ID"])
    await caller.log_in()
    caller.sandbox.tokens.revoke()
    assert (await caller.call("GET", ROWS + "/describe")).status == 401


async def composite(caller: Caller, *parts: Any, all_or_none: bool = False) -> list[Any]:
    body = {"allOrNone": all_or_none, "compositeRequest": list(parts)}
    reply = await caller.call("POST", "/composite", body)
    assert reply.status == 200, reply.body
    return list(reply.body["compositeResponse"])


def part(name: str, method: str, path: str, **more: Any) -> dict[str, Any]:
    return {"method": method, "url": BASE + path, "referenceId": name, **more}


async def test_a_composite_refers_to_its_own_answers_and_is_one_call(caller: Caller) -> None:
    before = caller.sandbox.allowance.used
    made, read = await composite(
        caller,
        part("made", "POST", ROWS, body=ADA),
        part("read", "GET", ROWS + "/@{made.id}?fields=Name"),
    )
    assert (made["httpStatusCode"], made["referenceId"]) == (201, "made")
    assert (read["httpStatusCode"], read["body"]["Name"]) == (200, "Ada Lovelace")
    assert caller.sandbox.allowance.used == before + 1


async def test_a_part_without_its_reference_is_halted(caller: Caller) -> None:
    made, read = await composite(
        caller,
        part("made", "POST", ROWS, body={}),
        part("read", "GET", ROWS + "/@{made.id}"),
    )
    assert made["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert (read["httpStatusCode"], read["body"][0]["errorCode"]) == (400, "PROCESSING_HALTED")


async def test_all_or_none_takes_everything_back(caller: Caller) -> None:
    kept = await caller.create()
    parts = (
        part("made", "POST", ROWS, body=ADA),
        part("edit", "PATCH", f"{ROWS}/{kept}", body={"Phone": "1"}),
        part("fail", "POST", ROWS, body={}),
    )
    answers = await composite(caller, *parts, all_or_none=True)
    assert [each["httpStatusCode"] for each in answers] == [400, 400, 400]
    assert [row["Phone"] for row in caller.sandbox.living] == [None]
    answers = await composite(caller, *parts)
    assert [each["httpStatusCode"] for each in answers] == [201, 204, 400]
    assert len(caller.sandbox.living) == 2


async def test_conditions_of_a_part_and_the_limits_of_a_composite(caller: Caller) -> None:
    identifier = await caller.create()
    old = {"If-Unmodified-Since": "Fri, 15 Jan 2027 07:59:59 GMT"}
    body = {"Phone": "1"}
    (answer,) = await composite(
        caller, part("edit", "PATCH", f"{ROWS}/{identifier}", body=body, httpHeaders=old)
    )
    assert (answer["httpStatusCode"], answer["body"]) == (412, None)
    many = [part(f"p{number}", "GET", ROWS + "/describe") for number in range(26)]
    reply = await caller.call("POST", "/composite", {"compositeRequest": many})
    assert reply.codes == ["LIMIT_EXCEEDED"]


async def test_the_allowance_is_shown_counted_and_kept_for_a_day(caller: Caller) -> None:
    caller.sandbox.allowance.limit = 2
    reply = await caller.call("GET", "/limits")
    assert reply.headers["Sforce-Limit-Info"] == "api-usage=1/2"
    await caller.call("GET", "/limits")
    refused = await caller.call("GET", "/limits")
    assert (refused.status, refused.codes) == (403, ["REQUEST_LIMIT_EXCEEDED"])
    versions = await caller.raw("GET", "/services/data/")
    assert (versions.status, "Sforce-Limit-Info" in versions.headers) == (200, False)
    caller.sandbox.shift_clock(86_400)
    await caller.log_in()
    assert (await caller.call("GET", "/limits")).status == 200


async def test_a_refusal_of_any_code_is_injected_for_some_calls(caller: Caller) -> None:
    caller.sandbox.faults.add(
        Fault(kind=FaultKind.REFUSE, method="POST", code="UNABLE_TO_LOCK_ROW", count=2)
    )
    for _ in range(2):
        assert (await caller.call("POST", ROWS, ADA)).codes == ["UNABLE_TO_LOCK_ROW"]
    await caller.create()
    caller.sandbox.faults.add(Fault(kind=FaultKind.REFUSE, status=420))
    bare = await caller.call("GET", "/limits")
    assert (bare.status, bare.body) == (420, None)


@pytest.mark.parametrize(
    ("fault", "effect"),
    [
        (Fault(kind=FaultKind.DROP_ANSWER), 1),
        (Fault(kind=FaultKind.DROP_REQUEST), 0),
        (Fault(kind=FaultKind.ZOMBIE, delay_seconds=0.01), 1),
        (Fault(kind=FaultKind.TRUNCATE, mode=Mode.CUT), 1),
        (Fault(kind=FaultKind.SERVER_ERROR), 0),
        (Fault(kind=FaultKind.SERVER_ERROR, effect=True), 1),
        (Fault(kind=FaultKind.TRUNCATE, mode=Mode.HTML), 1),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else str(value),
)
async def test_a_fault_hides_whether_a_call_took_effect(
    caller: Caller, fault: Fault, effect: int
) -> None:
    caller.sandbox.faults.add(fault)
    try:
        reply = await caller.call("POST", ROWS, ADA)
        assert reply.status == 500 or reply.body is None
    except aiohttp.ClientError:
        pass
    await caller.sandbox.settle()
    assert len(caller.sandbox.living) == effect
    await caller.create()


async def test_the_control_surface_edits_as_a_person(caller: Caller) -> None:
    made = await caller.raw("POST", "/_sandbox/records", json=ADA)
    path = f"/_sandbox/records/{made.body['Id']}"
    assert made.body["CreatedById"] == caller.sandbox.org.person
    edited = await caller.raw("PATCH", path, json={"Phone": "1"})
    assert edited.body["Phone"] == "1"
    other = (await caller.raw("POST", "/_sandbox/records", json=ADA)).body["Id"]
    await caller.raw("POST", path + "/merge", json={"losers": [other], "values": {"Phone": "2"}})
    assert [row["Phone"] for row in caller.sandbox.living] == ["2"]
    await caller.raw("DELETE", path)
    assert caller.sandbox.living == []
    await caller.raw("POST", path + "/undelete")
    assert len(caller.sandbox.living) == 1
    assert len((await caller.raw("GET", "/_sandbox/records")).body["data"]) == 2
    fault = await caller.raw("POST", "/_sandbox/faults", json={"kind": "refuse", "status": 503})
    assert fault.status == 201
    assert (await caller.call("GET", "/limits")).status == 503
    shown = (await caller.raw("GET", "/_sandbox/requests")).body["data"]
    assert (shown[-1]["path"], shown[-1]["status"]) == (f"{BASE}/limits", 503)
    assert caller.token not in str(shown)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
    ],
)
async def test_no_other_site_reaches_the_control_surface(
    caller: Caller, headers: dict[str, str]
) -> None:
    given = {"Content-Type": "application/json", **headers}
    reply = await caller.raw("POST", "/_sandbox/records", data=b"{}", headers=given)
    assert reply.status in (403, 415)
    assert caller.sandbox.living == []


async def test_a_sandbox_stops_while_a_call_is_late() -> None:
    async with asyncio.timeout(10):
        async with SalesforceSandbox() as sandbox, aiohttp.ClientSession() as http:
            caller = Caller(sandbox, http)
            await caller.log_in()
            sandbox.faults.add(Fault(kind=FaultKind.ZOMBIE, delay_seconds=3600))
            with pytest.raises(aiohttp.ClientError):
                await caller.call("POST", ROWS, ADA)
    assert sandbox.living == []
