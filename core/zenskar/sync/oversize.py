"""A message that is larger than the bus takes becomes a dead letter where it was to be sent."""

import orjson

from zenskar.model.envelope import Envelope
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import Message
from zenskar.sync.reading import end_as_dead, event_of

TOO_LARGE = "too_large"


async def bury_oversize(context: SyncContext, message: Message, problem: str) -> None:
    """End the sync event of an envelope, which may not be written yet, as dead."""
    envelope = Envelope.from_json(orjson.loads(message.value))
    await end_as_dead(context, event_of(envelope), message, TOO_LARGE, problem)
