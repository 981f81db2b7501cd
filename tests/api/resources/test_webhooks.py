"""`/webhooks/{source}` and what must not get through it."""

import asyncio
import codecs
import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.api import Api, body_of, event, open_api, problem_of
from tests.support.flow import running_worker
from tests.support.postgres import open_gate
from zenskar.bus.port import Bus
from zenskar.db.driver.storable import storable
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import Unavailable


async def waiting(api: Api) -> int:
    return await api.flow.scalar("SELECT count(*) FROM outbox WHERE topic = 'sync.inbound'")


async def test_accepted_once_durable(api: Api) -> None:
    assert await body_of(await api.webhook(event()), 200) == {"accepted": 1}
    assert await waiting(api) == 1


@pytest.mark.parametrize("signature", ["bad", "", "good " * 40])
async def test_a_bad_signature_is_400_and_stores_nothing(api: Api, signature: str) -> None:
    problem = await problem_of(await api.webhook(event(), signature=signature), 400)
    assert problem["type"].endswith("bad-signature")
    assert await waiting(api) == 0


async def test_of_webhooks_that_come_together_each_gets_its_own_answer(api: Api) -> None:
    signatures = ["good", "bad"] * 8
    answers = await asyncio.gather(
        *(
            api.webhook(event(name=f"evt_{number}"), signature=signature)
            for number, signature in enumerate(signatures)
        )
    )
    assert [answer.status for answer in answers] == [200, 400] * 8
    assert await waiting(api) == 8


async def test_no_signature_is_400(api: Api) -> None:
    await problem_of(await api.client.post("/webhooks/fake", json=event()), 400)


@pytest.mark.parametrize("source", ["stripe", "FAKE", "..%2f..", "fake%00", "%ff", "a b"])
async def test_an_unknown_source_is_404(api: Api, source: str) -> None:
    await problem_of(await api.webhook(event(), source=source), 404)


async def test_an_unknown_type_is_accepted_and_ignored(api: Api) -> None:
    await body_of(await api.webhook(event(kind="invoice.paid")), 200)
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    (found,) = await api.flow.events("inbound")
    assert (found["status"], found["reason"]) == ("ignored", "unknown_type")


RUBBISH = {
    "empty": b"",
    "cut": b"{",
    "not UTF-8": b"\xff",
    "NaN": b"NaN",
    "cut after a lone surrogate": b'{"a": "\\ud800"',
    "NUL": b'{"id": "evt_1", "type": "customer.created", "a": "\0"}',
    "infinity": b'{"id": -Infinity}',
    "cut after a huge number": b'{"a": 1e400',
    "unclosed": b"[" * 5000,
    "deep and one too many": b"[" * 100_000 + b"]" * 100_001,
    "deep and no JSON": b'{"a":' * 100_000 + b"NaN" + b"}" * 100_000,
    "UTF-16": '{"a": "\\ud800"}'.encode("utf-16"),
}


@pytest.mark.parametrize("body", RUBBISH.values(), ids=RUBBISH)
async def test_signed_rubbish_is_400(api: Api, body: bytes) -> None:
    await problem_of(await api.webhook(body), 400)
    assert await waiting(api) == 0


TOO_DEEP = "the body is not valid: /: is nested more than 64 levels deep"
TOO_LARGE = "the body is not valid: /: has a number that is too large"
UNREADABLE = {
    "a huge integer": (b"9" * 6000, TOO_LARGE),
    "a huge real": (b"-1e400", TOO_LARGE),
    "a huge real beside half a pair": (b'["\\ud800", 1e400]', TOO_LARGE),
    "deep": (b"[" * 100_000 + b"]" * 100_000, TOO_DEEP),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, TOO_DEEP),
    "deep beside half a pair": (b'["\\ud800",' + b"[" * 990 + b"]" * 991, TOO_DEEP),
    "deep beside NUL": (b'["\\u0000",' + b"[" * 990 + b"]" * 991, TOO_DEEP),
}


@pytest.mark.parametrize(("value", "problem"), UNREADABLE.values(), ids=UNREADABLE)
async def test_signed_json_that_cannot_be_read_is_kept(
    api: Api, value: bytes, problem: str
) -> None:
    body = json.dumps(event(unread="VALUE")).encode().replace(b'"VALUE"', value)
    assert await body_of(await api.webhook(body), 200) == {"accepted": 0, "dead": 1}
    (found,) = await api.flow.events("inbound")
    assert (found["status"], found["error_message"]) == ("dead", problem)


async def test_an_integer_that_is_not_read_may_be_larger_than_a_real(api: Api) -> None:
    body = event(unread=10**400)
    assert await body_of(await api.webhook(body), 200) == {"accepted": 1}


HOSTILE = {
    "an address line of 3,000": {"address": {"line1": "l" * 3000}},
    "a name of 5,000": {"name": "n" * 5000},
    "an e-mail longer than an index": {"email": "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))},
    "metadata of any size": {"metadata": {"k" * 3000: "v" * 5000, "": "x"}},
    "NUL": {"name": "a\0b", "address": {"city": "\0"}, "metadata": {"a\0": "\0"}},
    "half a pair": {"name": "a\ud800", "metadata": {"\udfff": "\udfff"}},
    "NUL in what is not read": {"unread": {"\0": ["\0"]}},
    "half a pair in what is not read": {"unread": {"\udc00": ["\udc00"]}},
    "a long id": {"id": "o" * 512},
    "an id of many bytes": {"id": "".join(map(chr, range(0x1F300, 0x1F300 + 512)))},
}


@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
async def test_what_an_external_system_holds_is_taken_in(api: Api, values: dict[str, Any]) -> None:
    body = event()
    body["object"] |= values
    assert await body_of(await api.webhook(body), 200) == {"accepted": 1}
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    (found,) = await api.flow.events("inbound")
    assert (found["status"], found["reason"]) == ("succeeded", "created")
    (page,) = (await body_of(await api.client.get("/customers"), 200))["data"]
    kept = storable(values)
    assert {name: page[name] for name in kept if name in page and name != "id"} == {
        name: value for name, value in kept.items() if name in page and name != "id"
    }
    assert page["external"][0]["in_sync"]


async def test_oversize_is_413(api: Api) -> None:
    await problem_of(await api.webhook(b"x" * (1024 * 1024 + 1)), 413)


async def test_what_is_oversize_can_be_set(database_url: str) -> None:
    async with open_api(database_url, max_body_bytes=2000) as api:
        await problem_of(await api.webhook(event(name="evt_1", pad="x" * 2000)), 413)
        assert await waiting(api) == 0
        assert (await api.webhook(event(name="evt_1", pad="x" * 1000))).status == 200


async def test_packed_bodies_are_415(api: Api) -> None:
    headers = {"Content-Encoding": "gzip", "X-Signature": "good"}
    packed = gzip.compress(b"{}")
    response = await api.client.post("/webhooks/fake", data=packed, headers=headers)
    await problem_of(response, 415)


async def test_other_methods_are_405(api: Api) -> None:
    await problem_of(await api.client.get("/webhooks/fake"), 405)


async def test_a_thousand_deliveries_at_once_have_one_effect(api: Api) -> None:
    body = event()
    answers = await asyncio.gather(*(api.webhook(body) for _ in range(1000)))
    assert {answer.status for answer in answers} == {200}
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    assert len(await api.flow.events("inbound")) == 1
    assert await api.flow.scalar("SELECT count(*) FROM customers") == 1


async def test_a_redelivery_after_the_commit_is_deduplicated(api: Api) -> None:
    """The process was killed between its commit and its answer, so the sender comes again."""
    async with running_worker(api.flow.runtime):
        for _ in range(2):
            await body_of(await api.webhook(event()), 200)
            await api.flow.settle()
    (found,) = await api.flow.events("inbound")
    assert found["status"] == "succeeded"
    assert await api.flow.scalar("SELECT version FROM customers") == 1


async def test_database_away_is_503_and_it_recovers(database_url: str) -> None:
    async with open_gate(database_url) as gate, open_api(gate.url) as api:
        assert (await api.webhook(event("evt_1"))).status == 200
        await gate.close()
        response = await api.webhook(event("evt_2"))
        await problem_of(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        await problem_of(await api.client.post("/customers", json={}), 422)
        await problem_of(await api.client.get("/customers"), 503)
        await gate.open()
        assert (await api.webhook(event("evt_2"))).status == 200
        assert await waiting(api) == 2


async def test_bus_away_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(messages: Sequence[OutboxMessage]) -> None:
        raise Unavailable("the bus is away")

    bus: Bus = api.flow.runtime.bus
    monkeypatch.setattr(bus, "publish", refuse)
    response = await api.webhook(event())
    await problem_of(response, 503)
    assert "Retry-After" in response.headers


async def test_the_correlation_id_reaches_the_event(api: Api) -> None:
    headers = {"X-Signature": "good", "X-Correlation-Id": "trace-me.1"}
    response = await api.client.post("/webhooks/fake", json=event(), headers=headers)
    assert response.headers["X-Correlation-Id"] == "trace-me.1"
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    assert (await api.flow.events("inbound"))[0]["correlation_id"] == "trace-me.1"


@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError])
async def test_a_plugin_that_exits_loses_no_webhook_and_the_server_goes_on(
    api: Api, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    class Leaving:
        def __getattr__(self, name: str) -> object:
            raise kind

    with monkeypatch.context() as patched:
        patched.setattr("tests.support.fake.Interval", Leaving())
        assert await body_of(await api.webhook(event()), 200) == {"accepted": 0, "dead": 1}
    assert await body_of(await api.webhook(event()), 200) == {"accepted": 1}


@pytest.mark.parametrize("depth", [100, 300, 1000])
async def test_a_deep_document_is_kept(api: Api, depth: int) -> None:
    text = json.dumps(event(metadata={"a": "deep"}))
    body = text.replace('"deep"', "[" * depth + "]" * depth).encode()
    taken = await body_of(await api.webhook(body), 200)
    assert taken in ({"accepted": 1}, {"accepted": 0, "dead": 1})


async def test_a_document_of_many_members_is_kept_and_not_worked_on(api: Api) -> None:
    sent = event(metadata=[[]] * 200_000)
    assert await body_of(await api.webhook(sent), 200) == {"accepted": 0, "dead": 1}
    (found,) = await api.flow.events("inbound")
    assert found["error_message"] == "the body is not valid: /: has more than 100000 members"


async def test_a_byte_order_mark_is_no_part_of_a_webhook(api: Api) -> None:
    body = codecs.BOM_UTF8 + json.dumps(event()).encode()
    assert (await body_of(await api.webhook(body), 200))["accepted"] == 1
