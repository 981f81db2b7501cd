"""Keep messages that cannot be processed as dead letters; none is dropped."""

import re

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import NewSyncEvent, Transition
from zenskar.errors import FailureKind
from zenskar.ids import new_id
from zenskar.model.envelope import Envelope
from zenskar.model.sync_event import NO_SOURCE, Direction, SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import RawMessage
from zenskar.sync.message_decoder import event_of
from zenskar.telemetry.logs import get_logger

UNREADABLE, TOO_LARGE = "unreadable", "too_large"
_ID = re.compile(r"[\w.-]{1,100}(:[\w.-]{1,200})?")
"""The form of our keys. Any other key may hold personal data, such as an e-mail address."""
_log = get_logger(__name__)


async def quarantine(
    context: SyncContext, message: RawMessage, problem: str, direction: Direction
) -> None:
    """Keep a message that cannot be processed as a dead letter, for an operator to inspect.

    The dead letter names no connection, because the message may name any.
    """
    event = NewSyncEvent(
        id=new_id(),
        direction=direction,
        source_system=NO_SOURCE,
        event_type=UNREADABLE,
        correlation_id=new_id(),
    )
    _log.error(
        "message_quarantined",
        sync_event_id=event.id,
        problem=problem,
        topic=message.origin.get("topic"),
        partition=message.origin.get("partition"),
        offset=message.origin.get("offset"),
        key=message.key if _ID.fullmatch(message.key) else None,
    )
    await end_as_dead(context, event, message, UNREADABLE, problem)


async def end_as_dead(
    context: SyncContext,
    event: NewSyncEvent,
    message: RawMessage,
    reason: str,
    problem: str,
    kind: FailureKind = FailureKind.REJECTED,
) -> None:
    """End a sync event that can never be processed as dead; write it if necessary.

    An event that has ended before, under this id or by another delivery, stays as it is.
    """
    dead = Transition(
        event.id, SyncStatus.DEAD, reason=reason, error_kind=kind.value, error_message=problem
    )
    source = event.source_system

    async def end(db: AsyncConnection) -> bool:
        await sync_events.insert(db, [event])
        kept = (await sync_events.lock(db, [event.id])).get(event.id)
        if kept is None or kept.status.final:
            return False
        await context.dead_letters.write(db, source, message, dead, attempts=1)
        return True

    if await in_transaction(context.engine, end):
        context.dead_letters.count(source, kind.value)


async def quarantine_oversize(context: SyncContext, message: RawMessage, problem: str) -> None:
    """End the sync event of a message that is too large for the bus as dead."""
    envelope = Envelope.from_json(orjson.loads(message.value))
    await end_as_dead(context, event_of(envelope), message, TOO_LARGE, problem)
