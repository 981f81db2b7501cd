"""Peek at a message on the bus, and end a message there as a dead letter."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Bus
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_log, sync_events
from zenskar.db.events.event_log import LoggedEvent
from zenskar.db.events.sync_events import NewSyncEvent, Transition
from zenskar.db.operators import waiting_messages
from zenskar.errors import FailureKind, NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.envelope import DEAD_LETTER, OUTBOUND, Envelope
from zenskar.model.operator_action import ActionKind
from zenskar.model.sync_event import NO_SOURCE, Direction, SyncStatus
from zenskar.ops.audit import AuditEntry
from zenskar.ops.events import HIDDEN, hidden_message
from zenskar.ops.state import bus_state
from zenskar.ops.state.bus_state import BusState
from zenskar.ops.state.message_place import LogPlace, OutboxPlace
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import RawMessage, UnsentMessage
from zenskar.sync.message_decoder import UnreadableMessage, event_of, read_envelope
from zenskar.sync.quarantine import UNREADABLE

ENDED_BY_OPERATOR = "ended_by_operator"
"""The reason of a dead letter that an operator made of a waiting message."""
_BY_OPERATOR = "an operator took the message from the bus before it was processed"


@dataclass(frozen=True, slots=True)
class PeekedMessage:
    """A message on the bus without values.

    `state` is its state in the outbox. On the log it is `head`, `claimed` while a worker receives
    the head, `waiting` or `done`. `status` is that of its sync event, None if no worker has written
    the event. `problem` says why the message cannot be read.
    """

    place: str
    topic: str
    key: str
    state: str
    attempts: int
    event_id: str | None
    event_type: str | None
    source: str | None
    status: str | None
    problem: str | None
    message: Any


@dataclass(frozen=True, slots=True)
class EndedMessage:
    """A message that was taken from the bus; `dead` is False if its event had ended before."""

    place: str
    event_id: str
    dead: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """A message at its exact place."""

    place: OutboxPlace | LogPlace
    topic: str
    raw: RawMessage
    state: str
    attempts: int


@dataclass(frozen=True, slots=True)
class _Why:
    """The reason of a dead letter, the problem of its message if any, and the operator."""

    reason: str
    problem: str | None
    by: Actor


class BusMessages:
    """Reads the bus and its messages, and dead-letters a message."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._bus = bus
        self._event_schema = event_schema

    async def state(self, *, most: int) -> BusState:
        """Return the state of the bus, with at most `most` of the oldest messages."""
        return await bus_state.read(self._context.engine, self._bus, most=most)

    async def peek(self, place: OutboxPlace | LogPlace) -> PeekedMessage:
        """Return a message without receiving it. Raises `NotFound`, and `Unavailable`."""
        found = await self._find(place)
        envelope, problem = self._read(found)
        text = found.raw.value.decode("utf-8", "backslashreplace")
        event = None if envelope is None else await self._event(envelope)
        return PeekedMessage(
            place=str(found.place),
            topic=found.topic,
            key=HIDDEN if envelope is None else found.raw.key,
            state=found.state,
            attempts=found.attempts,
            event_id=None if event is None else event.id,
            event_type=None if envelope is None else envelope.type,
            source=None if envelope is None else envelope.data["source_system"],
            status=None if event is None else event.status,
            problem=problem,
            message=hidden_message(text, readable=envelope is not None),
        )

    async def dead_letter(self, place: OutboxPlace | LogPlace, by: Actor) -> EndedMessage:
        """End a message as a dead letter, and take the message from the bus.

        On the log only the message at the head can go, while no worker receives its topic. After a
        crash between the dead letter and the log, the message is still at the head: repeat this.
        Raises `NotFound`, `Unavailable`, and `StateConflict` for a message that cannot go now.
        """
        found = await self._find(place)
        if found.topic == DEAD_LETTER:
            raise StateConflict(f"the messages of {DEAD_LETTER} are dead letters already")
        if found.state == "claimed":
            raise StateConflict("a worker processes the message now: stop the worker, or wait")
        if isinstance(found.place, OutboxPlace):
            return await self._end(found, by, found.place.id)
        if found.state != "head":
            raise StateConflict("only the message at the head of a partition can go")
        ended = await self._end(found, by)
        await self._context.failpoint("bus.ended")
        await self._bus.skip(found.topic, found.place.partition, found.place.offset or 0)
        return ended

    async def _find(self, place: OutboxPlace | LogPlace) -> _Found:
        if isinstance(place, OutboxPlace):
            return await self._find_stored(place)
        known = await self._bus.log() or {}
        log = known.get((place.topic, place.partition))
        if log is None:
            raise NotFound(f"there is no partition {place}")
        wanted = log.head if place.offset is None else place.offset
        found = await self._bus.read_at(place.topic, place.partition, wanted)
        if found is None or found.offset is None:
            raise NotFound(f"there is no message on {place} from the offset {wanted} on")
        working = {each.owner for (topic, _), each in known.items() if topic == place.topic}
        state = "done" if found.offset < log.head else "waiting"
        if log.head in {found.offset, wanted}:
            state = "claimed" if working - {None} else "head"
        exact = LogPlace(place.topic, place.partition, found.offset)
        return _Found(exact, place.topic, found, state, found.attempts)

    async def _find_stored(self, place: OutboxPlace) -> _Found:
        stored = await in_transaction(
            self._context.engine, lambda c: waiting_messages.read(c, place.id)
        )
        if stored is None:
            raise NotFound("there is no message with this id: it has been processed")
        message = UnsentMessage(stored.key, stored.envelope.encode(), {"topic": stored.topic})
        return _Found(place, stored.topic, message, stored.state, stored.attempts)

    def _read(self, found: _Found) -> tuple[Envelope | None, str | None]:
        """Return the envelope of a message, or the problem that prevents to read it."""
        direction = Direction.OUTBOUND if found.topic == OUTBOUND else Direction.INBOUND
        wanted = None if found.topic == DEAD_LETTER else direction
        try:
            return read_envelope(found.raw.value, self._event_schema, wanted), None
        except UnreadableMessage as error:
            return None, str(error)

    async def _event(self, envelope: Envelope) -> LoggedEvent | None:
        about = event_of(envelope)

        async def read(db: AsyncConnection) -> LoggedEvent | None:
            return await event_log.read(db, await _id_of(db, about))

        return await in_transaction(self._context.engine, read)

    async def _end(self, found: _Found, by: Actor, stored: int | None = None) -> EndedMessage:
        """End the sync event of a message as dead, and delete the message in the outbox."""
        envelope, problem = self._read(found)
        event = _unreadable(found) if envelope is None else event_of(envelope)
        reason = ENDED_BY_OPERATOR if envelope is not None else UNREADABLE

        async def end(db: AsyncConnection) -> EndedMessage:
            if stored is not None and not await waiting_messages.take(db, stored):
                raise StateConflict("the message is processed now, or gone: look again")
            await sync_events.insert(db, [event])
            event_id = await _id_of(db, event)
            dead = not (await sync_events.lock(db, [event_id]))[event_id].status.final
            if dead:
                await self._write(db, event._replace(id=event_id), found, _Why(reason, problem, by))
            request = {"place": str(found.place)}
            await AuditEntry(ActionKind.DEAD_LETTER, by, event_id, request, {"dead": dead}).write(
                db
            )
            return EndedMessage(str(found.place), event_id, dead)

        ended = await in_transaction(self._context.engine, end)
        if ended.dead:
            kind = FailureKind.REJECTED.value
            self._context.dead_letters.count(event.source_system, kind)
        return ended

    async def _write(
        self, db: AsyncConnection, event: NewSyncEvent, found: _Found, why: _Why
    ) -> None:
        dead = Transition(
            event.id,
            SyncStatus.DEAD,
            reason=why.reason,
            error_kind=FailureKind.REJECTED.value,
            error_message=why.problem or _BY_OPERATOR,
            # The history names the operator.
            detail=why.by.detail,
        )
        await self._context.dead_letters.write(
            db, event.source_system, found.raw, dead, attempts=found.attempts
        )


def _unreadable(found: _Found) -> NewSyncEvent:
    """Return the sync event of an unreadable message, which may name any connection."""
    return NewSyncEvent(
        id=new_id(),
        direction=Direction.OUTBOUND if found.topic == OUTBOUND else Direction.INBOUND,
        source_system=NO_SOURCE,
        event_type=UNREADABLE,
        correlation_id=new_id(),
    )


async def _id_of(db: AsyncConnection, event: NewSyncEvent) -> str:
    """Return the id of a sync event, which an earlier delivery may have written under another."""
    if (name := event.external_event_id) is None:
        return event.id
    known = (await sync_events.by_external_id(db, event.source_system, [name])).get(name)
    return event.id if known is None else known.id
