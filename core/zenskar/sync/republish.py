"""Recreate the messages of stored sync events."""

from collections.abc import Mapping, Sequence

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import customers
from zenskar.db.customers import Customer
from zenskar.db.events.failed_events import FailedEvent
from zenskar.db.events.look_events import LOOK
from zenskar.db.outbox import OutboxMessage
from zenskar.model.envelope import INBOUND, Envelope
from zenskar.model.fields import CUSTOMER
from zenskar.model.sync_event import Direction
from zenskar.sync.message_encoder import look_message, record_message

REQUESTED = "retry_requested"
DISCARDED = "discarded"
REPUBLISHED = "republished"


async def messages_of(db: AsyncConnection, events: Sequence[FailedEvent]) -> list[OutboxMessage]:
    """Recreate the messages of events; an event without enough stored data gets none."""
    owned = [e.entity_id for e in events if e.entity_id and e.entity_type == CUSTOMER.entity_type]
    known = await customers.read_many(db, owned)
    found = (
        _outbound(event, known) if event.direction is Direction.OUTBOUND else _inbound(event)
        for event in events
    )
    return [message for message in found if message is not None]


def _inbound(event: FailedEvent) -> OutboxMessage | None:
    if event.payload is None:
        return None
    envelope = Envelope.from_json(orjson.loads(event.payload))
    return OutboxMessage(INBOUND, envelope.subject, event.source_system, envelope)


def _outbound(event: FailedEvent, known: Mapping[str, Customer]) -> OutboxMessage | None:
    """Show the present record: the worker decides from the present row anyway."""
    if event.entity_type is None:
        return None
    if event.event_type == f"{event.entity_type}.{LOOK}":
        return look_message(event)
    if event.entity_id is None:
        return None
    customer = known.get(event.entity_id)
    if customer is None:
        return record_message(event, 1, None)
    return record_message(
        event, customer.version, None if customer.deleted_at else customer.document
    )
