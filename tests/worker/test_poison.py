"""No message stops those behind it, whatever it holds; and what does not get on is said."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from tests.support.flow import Flow, open_flow
from tests.support.wait import until
from zenskar.api.health import HealthScope, HealthStatus, SystemHealth
from zenskar.db import outbox
from zenskar.db.driver.engine import in_transaction
from zenskar.db.outbox import OutboxRow
from zenskar.ids import new_id
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.model.sync_event import NO_SOURCE
from zenskar.sync.inbound.apply import InboundSync
from zenskar.sync.inbound.unapplied import UnappliedEvents
from zenskar.sync.outbound.push import OutboundSync


def envelope(topic: str, data: Mapping[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """Return a valid message of a topic, with some of it as given."""
    outbound = {
        "schema_version": 1,
        "direction": "outbound",
        "source_system": "fake",
        "entity_type": "customer",
        "entity_id": new_id(),
        "record_version": 1,
        "document": None,
    }
    inbound = {
        "schema_version": 1,
        "direction": "inbound",
        "source_system": "fake",
        "external_event_id": "evt_poison",
        "event_type": "customer.updated",
        "occurred": [0, 1],
        "object": {"entity_type": "customer", "external_id": "obj_9", "document": {"name": "A"}},
    }
    return {
        "specversion": "1.0",
        "id": new_id(),
        "source": "fake",
        "type": "customer.updated",
        "subject": "customer:1",
        "time": "2026-11-22T10:00:00+00:00",
        "correlationid": "c",
        "data": {**(outbound if topic == OUTBOUND else inbound), **(data or {})},
        **members,
    }


async def put(flow: Flow, topic: str, key: str, body: Any) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    row = OutboxRow(topic, key, "fake", text)
    await in_transaction(flow.runtime.engine, lambda c: outbox.insert_rows(c, [row]))


async def both_ways(flow: Flow) -> None:
    """Follow an edit from each side to the other."""
    record_id = await flow.create(name="Ada")
    await flow.settle()
    system = flow.systems["fake"]
    system.edit(next(iter(system.objects)), name="Eve")
    await flow.deliver()
    assert (await flow.record(record_id))["name"] == "Eve"


def poisons() -> list[Any]:
    other = {INBOUND: OUTBOUND, OUTBOUND: INBOUND}
    found: list[Any] = []
    for topic in (INBOUND, OUTBOUND):
        bodies = {
            "the other direction": envelope(other[topic]),
            "no JSON": "no JSON",
            "an id that is none": envelope(topic, id="no id"),
            "a leap second": envelope(topic, time="2026-11-22T23:59:60Z"),
            "the year 0": envelope(topic, time="0000-11-22T23:59:00Z"),
            "a NUL": envelope(topic, causationid="a\0b"),
            "a type nobody knows": envelope(
                topic,
                {
                    "entity_type": "x",
                    "object": {"entity_type": "x", "external_id": "x", "document": {}},
                },
            ),
            "a time beyond a bigint": envelope(topic, {"occurred": [0, 2**70]}),
        }
        found += [pytest.param(topic, body, id=f"{topic}: {name}") for name, body in bodies.items()]
    return found


@pytest.mark.parametrize(("topic", "body"), poisons())
async def test_a_poisonous_message_is_dead_and_holds_up_no_other(
    database_url: str, topic: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zenskar.worker.outbound_consumer._FAILED_SECONDS", 0.01)
    async with open_flow(database_url) as flow:
        await put(flow, topic, "poison:1", body)
        await both_ways(flow)
        letters = await flow.rows("SELECT * FROM sync_events WHERE status = 'dead'")
        assert len(letters) == 1 or topic == OUTBOUND
        assert all(letter["payload"] for letter in letters)
        named = await flow.rows("SELECT DISTINCT source_system FROM sync_events")
        assert {row["source_system"] for row in named} <= {"fake", NO_SOURCE}


@pytest.mark.parametrize("topic", [INBOUND, OUTBOUND])
async def test_a_handler_that_fails_itself_ends_in_a_raw_dead_letter(
    database_url: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failing at every step, also at the one that writes the failure down."""

    async def fail(*_: Any, **__: Any) -> None:
        raise KeyError("external_event_id")

    monkeypatch.setattr("zenskar.worker.outbound_consumer._FAILED_SECONDS", 0.01)
    async with open_flow(database_url) as flow:
        body = envelope(topic)
        with monkeypatch.context() as patch:
            patch.setattr(InboundSync, "apply", fail)
            patch.setattr(UnappliedEvents, "fail", fail)
            patch.setattr(OutboundSync, "process", fail)
            patch.setattr("zenskar.sync.outbound.push.end_as_dead", fail)
            await put(flow, topic, "customer:some-id", body)
            await until(
                lambda: flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'")
            )
        (letter,) = await flow.rows("SELECT * FROM sync_events WHERE status = 'dead'")
        assert (letter["source_system"], letter["reason"]) == (NO_SOURCE, "unreadable")
        assert orjson.loads(letter["payload"])["id"] == body["id"]
        await both_ways(flow)


async def test_a_consumer_that_fails_again_and_again_is_not_healthy(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise KeyError("a bug that no message is to blame for")

    monkeypatch.setattr("zenskar.worker.receive_loop._MOST_SECONDS", 0.05)
    monkeypatch.setattr("zenskar.worker.receive_loop._FIRST_SECONDS", 0.01)
    monkeypatch.setattr("zenskar.worker.service._BEAT_SECONDS", 0.05)
    async with open_flow(database_url) as flow:
        runtime = flow.runtime
        monkeypatch.setattr(UnappliedEvents, "parked", fail)
        await put(flow, INBOUND, "fake:1", envelope(INBOUND))
        await until(lambda: _true(runtime.progress.problems()))
        assert runtime.progress.problems() == ["inbound fails again and again (KeyError)"]
        scope = HealthScope(consumers=runtime.progress.by_consumer)
        report = await SystemHealth(runtime.engine, runtime.bus, scope).ready()
        parts = {name: part.status.value for name, part in report.checks["consumers"].parts.items()}
        assert (parts["inbound"], parts["outbound"]) == ("unavailable", "ok")
        assert (report.status, report.http_status) == (HealthStatus.UNAVAILABLE, 503)
        await until(lambda: flow.scalar("SELECT problem FROM workers"))
        api = await SystemHealth(runtime.engine, runtime.bus).ready()
        assert (api.status, api.http_status) == (HealthStatus.DEGRADED, 200)
        assert "inbound" in api.checks["workers"].detail
        (family,) = runtime.metrics.consumer_failures.collect()
        told = {s.labels["consumer"]: s.value for s in family.samples if s.name.endswith("_total")}
        assert told["inbound"] >= 3
        monkeypatch.undo()
        await flow.settle()


async def _true(value: Any) -> bool:
    return bool(value)
