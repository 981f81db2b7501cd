"""Enqueue the change of a record: one sync event and one message for each connection."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import outbox
from zenskar.db.events import sync_events
from zenskar.db.events.look_events import LOOK
from zenskar.db.events.sync_events import NewSyncEvent
from zenskar.ids import new_id
from zenskar.model.fields import SHAPES, unflatten
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.notices import RecordChanged
from zenskar.model.record import Record
from zenskar.model.sync_event import Direction
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.sync.announcements import announce
from zenskar.sync.message_encoder import look_message, record_message

CREATED, UPDATED, DELETED, RESYNC = "created", "updated", "deleted", "resync"
UNDELETED = "undeleted"
AMBIGUOUS_MATCH = "ambiguous_match"
"""The reason of the dead letter of an object that matches no single free record."""


class Cause(NamedTuple):
    """The sync event that led to a change, and the request and the trace that both go back to."""

    correlation_id: str
    event_id: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A record as it is after a change. `action` is created, updated, deleted, undeleted or resync.

    The history gets `changes` (leaf pointer to new value), the values `before`, and the actor that
    the change was made `by`. `causation_id` is the sync event that led to this one.
    """

    entity_type: str
    record_id: str
    version: int
    action: str
    document: dict[str, Any] | None
    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None
    changes: dict[str, Any] | None = None
    before: dict[str, Any] | None = None
    by: HistoryDetail | None = None

    @classmethod
    def of(  # noqa: PLR0913 - one for each member
        cls,
        entity_type: str,
        record: Record,
        action: str,
        correlation_id: str,
        causation_id: str | None = None,
        traceparent: str | None = None,
        *,
        by: HistoryDetail | None = None,
    ) -> Self:
        """Return a record as it is after an action; a deleted record has no document."""
        return cls(
            entity_type=entity_type,
            record_id=record.id,
            version=record.version,
            action=action,
            document=None if record.deleted else unflatten(SHAPES[entity_type], record.fields),
            correlation_id=correlation_id,
            causation_id=causation_id,
            traceparent=traceparent,
            by=by,
        )


@dataclass(frozen=True, slots=True)
class LookRequest:
    """A request to fetch an external object; `id` is the id of its sync event.

    `causation_id` is the sync event that led to it, or it was made `by` an operator.
    """

    source: str
    entity_type: str
    external_id: str
    correlation_id: str
    causation_id: str | None
    traceparent: str | None = None
    id: str = field(default_factory=new_id)
    by: HistoryDetail | None = None


async def enqueue(db: AsyncConnection, targets: Iterable[tuple[RecordChange, str]]) -> list[str]:
    """Write sync events and outbox rows for changes and their source systems, all at once.

    Returns the ids of the sync events. Wake the workers after the commit.
    """
    pairs = [(_event(change, source), change) for change, source in targets]
    await sync_events.add(db, [event for event, _ in pairs])
    await outbox.insert(
        db,
        [record_message(e, c.version, c.document, traceparent=c.traceparent) for e, c in pairs],
    )
    return [event.id for event, _ in pairs]


def announce_change(broadcaster: Broadcaster, change: RecordChange) -> None:
    """Announce a change that was made here, after the commit."""
    notice = RecordChanged(
        change.entity_type,
        change.record_id,
        change.version,
        change.action,
        None,
        tuple(change.changes or ()),
        change.correlation_id,
    )
    announce(broadcaster, notice)


async def enqueue_looks(db: AsyncConnection, looks: Iterable[LookRequest]) -> None:
    """Write sync events and outbox rows for outbound workers to fetch external objects."""
    pairs = [(_look_event(look), look.traceparent) for look in looks]
    await sync_events.add(db, [event for event, _ in pairs])
    await outbox.insert(db, [look_message(event, traceparent=t) for event, t in pairs])


def _look_event(look: LookRequest) -> NewSyncEvent:
    return NewSyncEvent(
        id=look.id,
        direction=Direction.OUTBOUND,
        source_system=look.source,
        event_type=f"{look.entity_type}.{LOOK}",
        correlation_id=look.correlation_id,
        entity_type=look.entity_type,
        external_id=look.external_id,
        causation_id=look.causation_id,
        detail=look.by,
    )


def _event(change: RecordChange, source: str) -> NewSyncEvent:
    detail: HistoryDetail = {"record_version": change.version}
    if change.changes:
        detail["changes"] = change.changes
    if change.before:
        detail["before"] = change.before
    if change.by:
        detail.update(change.by)
    return NewSyncEvent(
        id=new_id(),
        direction=Direction.OUTBOUND,
        source_system=source,
        event_type=f"{change.entity_type}.{change.action}",
        correlation_id=change.correlation_id,
        entity_type=change.entity_type,
        entity_id=change.record_id,
        causation_id=change.causation_id,
        detail=detail,
    )
