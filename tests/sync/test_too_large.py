"""A message that the bus cannot take is a dead letter, once, however often it is sent."""

from dataclasses import replace

import pytest

from tests.support.flow import Flow, open_flow
from zenskar.db.outbox import OutboxMessage
from zenskar.ids import new_id
from zenskar.model.envelope import INBOUND, OUTBOUND, Envelope
from zenskar.sync.dead_letters import DeadLetterWriter, UnsentMessage
from zenskar.sync.quarantine import quarantine_oversize


def webhook() -> Envelope:
    data = {
        "schema_version": 1,
        "direction": "inbound",
        "source_system": "fake",
        "external_event_id": "evt_1",
        "event_type": "customer.updated",
        "object": {"entity_type": "customer", "external_id": "cus_1", "document": None},
    }
    time = "2026-11-22T10:00:00+00:00"
    return Envelope(new_id(), "fake", "customer.updated", "fake:cus_1", time, data, "c")


async def send(flow: Flow, envelope: Envelope) -> None:
    """Dead-letter a message, with a topic for dead letters as Kafka has one."""
    context = flow.runtime.context
    context = replace(context, dead_letters=DeadLetterWriter(context.metrics, publishing=True))
    value = OutboxMessage(INBOUND, "fake:cus_1", "fake", envelope).encode()
    await quarantine_oversize(context, UnsentMessage("fake:cus_1", value), "too large")


def counted(flow: Flow) -> float:
    (family,) = flow.runtime.metrics.dead.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


@pytest.mark.parametrize("again", ["delivered twice", "given up twice"])
async def test_a_webhook_that_is_too_large_is_dead_once(database_url: str, again: str) -> None:
    """A second delivery left a line of history and a dead letter of an event that is not there."""
    async with open_flow(database_url, working=False) as flow:
        first = webhook()
        await send(flow, first)
        await send(flow, replace(first, id=new_id()) if again == "delivered twice" else first)
        (event,) = await flow.events("inbound")
        assert (event["status"], event["reason"]) == ("dead", "too_large")
        assert str(event["id"]) == first.id
        history = await flow.rows("SELECT event_id, status FROM sync_event_history ORDER BY id")
        assert [(str(row["event_id"]), row["status"]) for row in history] == [
            (first.id, "pending"),
            (first.id, "dead"),
        ]
        (letter,) = await flow.rows("SELECT headers FROM outbox WHERE topic = 'sync.dlq'")
        assert first.id in letter["headers"]
        assert counted(flow) == 1


async def test_a_change_that_is_too_large_ends_the_event_that_is_there(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        (row,) = await flow.rows("SELECT envelope, key FROM outbox WHERE topic = :t", t=OUTBOUND)
        message = UnsentMessage(row["key"], row["envelope"].encode())
        await quarantine_oversize(flow.runtime.context, message, "too large")
        (event,) = await flow.events("outbound")
        assert (event["status"], event["reason"]) == ("dead", "too_large")
