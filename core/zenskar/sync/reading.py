"""Read what comes off the bus; what cannot be read is kept and named, never dropped."""

import orjson

from zenskar.db import sync_events
from zenskar.db.engine import in_transaction
from zenskar.db.engines import AsyncConnection
from zenskar.db.sync_events import NewSyncEvent, Transition
from zenskar.errors import FailureKind, InvalidInput, SchemaViolation
from zenskar.ids import new_id
from zenskar.model.envelope import SCHEMA_VERSION, Envelope
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import Message

UNREADABLE = "unreadable"
_KEY_LENGTH = 200


class UnreadableMessage(InvalidInput):
    """A message that is no envelope, or of a layout that is newer than this program."""


def read_envelope(value: bytes, schema: Schema) -> Envelope:
    """Return the envelope of a message; `UnreadableMessage` says what is wrong with it."""
    try:
        body = orjson.loads(value)
        schema.check(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise UnreadableMessage("the message is not JSON") from None
    except SchemaViolation as error:
        raise UnreadableMessage(str(error)) from None
    if body["data"]["schema_version"] > SCHEMA_VERSION:
        raise UnreadableMessage(
            f"the message has layout {body['data']['schema_version']}, "
            f"this program reads up to {SCHEMA_VERSION}"
        )
    return Envelope.from_json(body, value)


async def bury(context: SyncContext, message: Message, problem: str, direction: Direction) -> None:
    """Keep an unreadable message as a dead letter, so that a person can look at it."""
    source = message.key.partition(":")[0][:_KEY_LENGTH].replace("\x00", "") or "unknown"
    event = NewSyncEvent(
        id=new_id(),
        direction=direction,
        source_system=source,
        event_type=UNREADABLE,
        correlation_id=new_id(),
    )
    await end_as_dead(context, event, message, UNREADABLE, problem)


async def end_as_dead(
    context: SyncContext, event: NewSyncEvent, message: Message, reason: str, problem: str
) -> None:
    """End a sync event that can never be worked on, written already or not, as dead.

    What has come to its end before, under this id or as another delivery of it, stays as it is.
    """
    dead = Transition(
        event.id,
        SyncStatus.DEAD,
        reason=reason,
        error_kind=FailureKind.REJECTED.value,
        error_message=problem,
    )
    source = event.source_system

    async def work(connection: AsyncConnection) -> bool:
        await sync_events.insert(connection, [event])
        kept = (await sync_events.lock(connection, [event.id])).get(event.id)
        if kept is None or kept.status.final:
            return False
        await context.dead_letters.write(connection, source, message, dead, attempts=1)
        return True

    if await in_transaction(context.engine, work):
        context.dead_letters.count(source, FailureKind.REJECTED.value)
