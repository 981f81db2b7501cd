"""A message that the bus cannot take is a dead letter, once, however often it is sent."""

from dataclasses import replace

from tests.support.flow import open_flow
from zenskar.db.outbox import OutboxMessage
from zenskar.ids import new_id
from zenskar.model.envelope import INBOUND, Envelope
from zenskar.sync.dead_letters import Message
from zenskar.sync.oversize import bury_oversize


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


async def test_a_webhook_that_is_too_large_is_dead_once(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        first = webhook()
        for envelope in (first, replace(first, id=new_id())):
            value = OutboxMessage(INBOUND, "fake:cus_1", "fake", envelope).encode()
            await bury_oversize(flow.runtime.context, Message("fake:cus_1", value), "too large")
        (event,) = await flow.events("inbound")
        assert (event["status"], event["reason"]) == ("dead", "too_large")
        assert str(event["id"]) == first.id
