"""A message that is larger than the bus takes becomes a dead letter where it was to be sent."""

import orjson

from zenskar.db.sync_events import NewSyncEvent
from zenskar.model.envelope import Envelope
from zenskar.model.sync_event import Direction
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import Message
from zenskar.sync.reading import end_as_dead

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
    await end_as_dead(context, event, message, TOO_LARGE, problem)
