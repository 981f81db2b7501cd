"""Retry sync events on request: write their messages again, whatever became of the first ones."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import customers, outbox, replay, sync_events
from zenskar.db.customers import Customer
from zenskar.db.engine import in_transaction
from zenskar.db.event_log import EventFilter
from zenskar.db.outbox import OutboxMessage
from zenskar.db.replay import FailedEvent, MessageName
from zenskar.db.sync_events import Transition
from zenskar.model.envelope import INBOUND, OUTBOUND, SCHEMA_VERSION, Envelope
from zenskar.model.fields import CUSTOMER
from zenskar.model.sync_event import Direction, SyncStatus

REQUESTED = "retry_requested"
_BATCH = 500


class Replay:
    """Puts failed events back as pending, oldest first, a batch in one transaction."""

    def __init__(self, engine: AsyncEngine, wake: Callable[[str], None]) -> None:
        self._engine = engine
        self._wake = wake

    async def retry(self, wanted: EventFilter) -> int:
        """Retry the events that the filter means and that are retrying or dead; return how many.

        A kill between two batches loses nothing: the events that are left are still dead.
        """
        total, after = 0, None
        while True:
            events, retried = await self._batch(wanted, after)
            total += retried
            if len(events) < _BATCH:
                return total
            after = events[-1].id

    async def _batch(
        self, wanted: EventFilter, after: str | None
    ) -> tuple[Sequence[FailedEvent], int]:
        async def work(
            connection: AsyncConnection,
        ) -> tuple[list[FailedEvent], list[OutboxMessage]]:
            found = await replay.lock_failed(connection, wanted, most=_BATCH, after=after)
            return found, await _put_back(connection, found)

        events, messages = await in_transaction(self._engine, work)
        for topic in {message.topic for message in messages}:
            self._wake(topic)
        return events, len(messages)


async def _put_back(
    connection: AsyncConnection, events: Sequence[FailedEvent]
) -> list[OutboxMessage]:
    """Write messages again unless they still wait in the outbox; return all of them."""
    messages = await _messages(connection, events)
    if not messages:
        return []
    ids = [message.envelope.id for message in messages]
    await sync_events.move(
        connection, [Transition(event_id, SyncStatus.PENDING, REQUESTED) for event_id in ids]
    )
    await replay.reset_attempts(connection, ids)
    names = [MessageName(m.topic, m.key, m.envelope.id) for m in messages]
    waiting = await replay.make_due(connection, names)
    await outbox.insert(connection, [m for m in messages if m.envelope.id not in waiting])
    return messages


async def _messages(
    connection: AsyncConnection, events: Sequence[FailedEvent]
) -> list[OutboxMessage]:
    owned = [e.entity_id for e in events if e.entity_id and e.entity_type == CUSTOMER.entity_type]
    known = await customers.read_many(connection, owned)
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
    """Show the record as it is now; the worker decides from the present row anyway."""
    if event.entity_type is None or event.entity_id is None:
        return None
    customer = known.get(event.entity_id)
    key = f"{event.entity_type}:{event.entity_id}"
    envelope = Envelope(
        id=event.id,
        source="zenskar",
        type=event.event_type,
        subject=key,
        time=datetime.now(UTC).isoformat(),
        data={
            "schema_version": SCHEMA_VERSION,
            "direction": Direction.OUTBOUND.value,
            "source_system": event.source_system,
            "entity_type": event.entity_type,
            "entity_id": event.entity_id,
            "record_version": customer.version if customer else 1,
            "document": customer.document if customer and not customer.deleted_at else None,
        },
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
    )
    return OutboxMessage(OUTBOUND, key, event.source_system, envelope)
