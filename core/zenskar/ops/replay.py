"""Retry or discard failed sync events on request.

A retry writes the message again, whether the first one was lost or not. The history names the
operator.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import outbox
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import failed_events, stale_events, sync_events
from zenskar.db.events.event_log import EventFilter
from zenskar.db.events.failed_events import FailedEvent, MessageName
from zenskar.db.events.sync_events import Transition
from zenskar.db.outbox import OutboxMessage
from zenskar.model.actor import Actor
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.operator_action import ActionKind, ActionState
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.ops.audit import AuditEntry
from zenskar.schema_catalog import Schema
from zenskar.sync.message_decoder import UnreadableMessage, read_envelope
from zenskar.sync.quarantine import UNREADABLE
from zenskar.sync.republish import DISCARDED, REPUBLISHED, REQUESTED, messages_of

_BATCH = 500
_MOST_NAMED = 20
"""The number of ids that the audit names of an action on chosen events."""


@dataclass(frozen=True, slots=True)
class _Done:
    """The ids of events that were retried or ended, and the topics to wake."""

    ids: Sequence[str]
    topics: frozenset[str] = frozenset()


_Reread = tuple[FailedEvent, OutboxMessage]
_Step = Callable[[AsyncConnection, Sequence[FailedEvent]], Awaitable[_Done]]


class Replay:
    """Retries or ends failed events, oldest first, a batch in each transaction.

    A crash between two batches loses nothing: the events that are left are still dead.
    """

    def __init__(
        self, engine: AsyncEngine, wake: Callable[[str], None], event_schema: Schema
    ) -> None:
        self._engine = engine
        self._wake = wake
        self._event_schema = event_schema

    async def retry(self, wanted: EventFilter, operator: Actor) -> int:
        """Retry failed and held events that match a filter; return their number."""
        return len(await self.retry_each(wanted, operator))

    async def retry_each(
        self, wanted: EventFilter, operator: Actor, begun: AuditEntry | None = None
    ) -> Sequence[str]:
        """Retry failed and held events that match a filter; return their ids.

        An event whose message cannot be made again stays as it is. The retry is a part of the
        action `begun`, otherwise an action of its own.
        """

        async def retry(db: AsyncConnection, events: Sequence[FailedEvent]) -> _Done:
            unread, rest = _by_reason(events)
            again = self._reread_all(unread)
            await _republish(db, again, operator)
            sent = await _resend(db, rest, operator)
            ids = [e.id for e, _ in again] + [m.envelope.id for m in sent]
            topics = frozenset(m.topic for m in (*sent, *(m for _, m in again)))
            return _Done(ids, topics)

        entry = begun or AuditEntry(ActionKind.RETRY, operator, *_chosen(wanted))
        return await self._in_batches(wanted, retry, entry, is_part=begun is not None)

    async def resend(self, event_id: str, operator: Actor) -> bool:
        """Write the message of an unfinished event again, unless the message waits.

        Return False for an event that has ended, that is in its pause before the next attempt, or
        whose message cannot be made again. A message that arrives twice has no second effect.
        """
        entry = AuditEntry(ActionKind.RESEND, operator, event_id)

        async def resend(db: AsyncConnection) -> list[OutboxMessage]:
            events = await stale_events.lock(db, [event_id], age_seconds=0.0)
            sent = await _resend(db, events, operator)
            if sent:
                await entry.write(db)
            return sent

        sent = await in_transaction(self._engine, resend)
        for message in sent:
            self._wake(message.topic)
        return bool(sent)

    async def retryable(self, wanted: EventFilter) -> set[str]:
        """Return the ids of the matching events whose messages can be made again."""

        async def read(db: AsyncConnection, events: Sequence[FailedEvent]) -> _Done:
            unread, rest = _by_reason(events)
            ids = [event.id for event, _ in self._reread_all(unread)]
            return _Done(ids + [m.envelope.id for m in await messages_of(db, rest)])

        return set(await self._in_batches(wanted, read))

    async def discard(self, wanted: EventFilter, operator: Actor) -> int:
        """End dead events that match a filter as ignored; return their number."""

        async def end(db: AsyncConnection, events: Sequence[FailedEvent]) -> _Done:
            await sync_events.move(
                db, [_ended(event.id, DISCARDED, operator.detail) for event in events]
            )
            return _Done([event.id for event in events])

        entry = AuditEntry(ActionKind.DISCARD, operator, *_chosen(wanted))
        dead = replace(wanted, status=SyncStatus.DEAD)
        return len(await self._in_batches(dead, end, entry))

    async def count(self, wanted: EventFilter) -> int:
        """Return the number of failed events that match a filter."""
        return await in_transaction(self._engine, lambda c: failed_events.count_failed(c, wanted))

    async def _in_batches(
        self,
        wanted: EventFilter,
        step: _Step,
        entry: AuditEntry | None = None,
        *,
        is_part: bool = False,
    ) -> list[str]:
        """Take a step for each batch, and write the action that it belongs to with each batch."""
        ids: list[str] = []
        after, before = None, 0 if entry is None else int(entry.result.get("events", 0))

        async def audited(db: AsyncConnection, events: Sequence[FailedEvent]) -> _Done:
            done = await step(db, events)
            if entry is not None and (ids or done.ids):
                entry.result["events"] = before + len(ids) + len(done.ids)
                ended = len(events) < _BATCH and not is_part
                await entry.write(db, ActionState.DONE if ended else ActionState.BEGUN)
            return done

        while True:
            events, done = await self._batch(wanted, after, audited)
            for topic in done.topics:
                self._wake(topic)
            ids += done.ids
            if len(events) < _BATCH:
                return ids
            after = events[-1].id

    async def _batch(
        self, wanted: EventFilter, after: str | None, step: _Step
    ) -> tuple[Sequence[FailedEvent], _Done]:
        async def transact(db: AsyncConnection) -> tuple[list[FailedEvent], _Done]:
            found = await failed_events.lock_failed(db, wanted, most=_BATCH, after=after)
            return found, await step(db, found)

        return await in_transaction(self._engine, transact)

    def _reread_all(self, events: Sequence[FailedEvent]) -> list[_Reread]:
        return [(event, message) for event in events if (message := self._reread(event))]

    def _reread(self, event: FailedEvent) -> OutboxMessage | None:
        try:
            envelope = read_envelope((event.payload or "").encode(), self._event_schema)
        except UnreadableMessage:
            return None
        # The message may have been read from the wrong topic.
        topic = OUTBOUND if envelope.data["direction"] == Direction.OUTBOUND else INBOUND
        source = envelope.data["source_system"]
        return OutboxMessage(topic, envelope.subject, source, envelope)


def _chosen(wanted: EventFilter) -> tuple[str | None, Mapping[str, Any]]:
    """Return the target and the request of an action on the events that a filter matches."""
    ids = wanted.ids or ()
    if len(ids) == 1:
        return ids[0], {}
    given = {name: getattr(wanted, name) for name in wanted.__dataclass_fields__}
    request: dict[str, Any] = {
        name: value if isinstance(value, float) else str(value)
        for name, value in given.items()
        if value is not None and name not in {"ids", "unchanged"}
    }
    if ids:
        request |= {"ids": list(ids[:_MOST_NAMED]), "events": len(ids)}
    return wanted.source, request


def _ended(event_id: str, reason: str, detail: HistoryDetail) -> Transition:
    return Transition(event_id, SyncStatus.IGNORED, reason, detail=detail)


def _by_reason(
    events: Sequence[FailedEvent],
) -> tuple[list[FailedEvent], list[FailedEvent]]:
    """Return the events whose message an older release could not read, and the others."""
    unread = [event for event in events if event.reason == UNREADABLE]
    return unread, [event for event in events if event.reason != UNREADABLE]


async def _republish(db: AsyncConnection, again: Sequence[_Reread], operator: Actor) -> None:
    """Send messages that an older release could not read, and that this release can read.

    The message has a sync event of its own, so the event of the dead letter ends.
    """
    await outbox.insert(db, [message for _, message in again])
    await sync_events.move(
        db,
        [
            _ended(e.id, REPUBLISHED, {**operator.detail, "message": m.envelope.id})
            for e, m in again
        ],
    )


async def _resend(
    db: AsyncConnection, events: Sequence[FailedEvent], operator: Actor
) -> list[OutboxMessage]:
    """Write messages again unless they still wait in the outbox; return all messages."""
    messages = await messages_of(db, events)
    if not messages:
        return []
    ids = [message.envelope.id for message in messages]
    await sync_events.move(
        db,
        [Transition(i, SyncStatus.PENDING, REQUESTED, detail=operator.detail) for i in ids],
    )
    await failed_events.reset_attempts(db, ids)
    names = [MessageName(m.topic, m.key, m.envelope.id) for m in messages]
    waiting = await failed_events.make_due(db, names)
    await outbox.insert(db, [m for m in messages if m.envelope.id not in waiting])
    return messages
