"""A message that is larger than the bus takes becomes a dead letter where it was to be sent."""

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import sync_events
from zenskar.db.engine import in_transaction
from zenskar.db.sync_events import NewSyncEvent, Transition
from zenskar.errors import FailureKind
from zenskar.model.envelope import Envelope
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import Message

TOO_LARGE = "too_large"


async def bury_oversize(context: SyncContext, message: Message, problem: str) -> None:
    """End the sync event of an envelope, which may not be written yet, as dead."""
    envelope = Envelope.from_json(orjson.loads(message.value))
    source = envelope.data["source_system"]
    seen = envelope.data.get("object") or {}
    event = NewSyncEvent(
        id=envelope.id,
        direction=Direction(envelope.data["direction"]),
        source_system=source,
        event_type=envelope.type,
        correlation_id=envelope.correlation_id,
        entity_type=envelope.data.get("entity_type") or seen.get("entity_type"),
        entity_id=envelope.data.get("entity_id"),
        external_id=seen.get("external_id"),
        external_event_id=envelope.data.get("external_event_id"),
        causation_id=envelope.causation_id,
    )
    dead = Transition(
        event.id,
        SyncStatus.DEAD,
        reason=TOO_LARGE,
        error_kind=FailureKind.REJECTED.value,
        error_message=problem,
    )

    async def work(connection: AsyncConnection) -> None:
        await sync_events.insert(connection, [event])
        await context.dead_letters.write(connection, source, message, dead, attempts=1)

    await in_transaction(context.engine, work)
    context.dead_letters.count(source, FailureKind.REJECTED.value)
