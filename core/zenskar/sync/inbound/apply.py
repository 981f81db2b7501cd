"""Apply events of external systems, a batch in one transaction."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import by_keys
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import NewSyncEvent, Transition
from zenskar.kernel import Outcome, StepKind, Verdict
from zenskar.model.envelope import Envelope
from zenskar.model.record import Record
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import Cause, LookRequest
from zenskar.sync.inbound.looks import TOUCHED, LookRequests, MatchLooks
from zenskar.sync.message_decoder import delayed_observation, observation, received_event
from zenskar.sync.outcome_history import broadcast, describe, transition
from zenskar.sync.resilience.delete_guard import DeleteGuard
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork


class Applied(NamedTuple):
    """The result of one envelope.

    `verdict` is the kernel's, or `duplicate_event`, `touched` or `ignored`.
    """

    envelope: Envelope
    source: str
    verdict: str
    outcome: Outcome | None = None


@dataclass(slots=True)
class _Batch:
    """The decisions of one transaction."""

    applied: list[Applied] = field(default_factory=list)
    fresh: dict[str, NewSyncEvent] = field(default_factory=dict)
    moves: list[Transition] = field(default_factory=list)
    deletes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The sync events that delete a record, by source system."""
    erased: list[str] = field(default_factory=list)
    """The sync events whose stored messages are about an erased record."""
    works: list[UnitOfWork] = field(default_factory=list)
    looks: list[LookRequest] = field(default_factory=list)
    followed: bool = False
    """Whether messages were enqueued."""


class InboundSync:
    """Applies inbound events to records, and enqueues the changes for other connections."""

    def __init__(self, context: SyncContext) -> None:
        self._context = context

    async def apply(
        self,
        envelopes: Sequence[Envelope],
        *,
        within: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> tuple[list[Applied], bool]:
        """Apply envelopes in their order, all or none; `within` runs in the same transaction.

        Returns the result of each, and whether messages were written to the outbox. Raises
        `TooManyDeletes` when the delete guard refuses the batch.
        """

        async def apply_batch(db: AsyncConnection) -> _Batch:
            batch = await self._apply(db, envelopes)
            if within is not None:
                await within(db)
            return batch

        batch = await by_keys(self._context.engine, apply_batch)
        self._count(batch.applied)
        return batch.applied, batch.followed

    async def _apply(self, db: AsyncConnection, envelopes: Sequence[Envelope]) -> _Batch:
        batch = _Batch()
        by_source: dict[str, list[Envelope]] = defaultdict(list)
        for envelope in envelopes:
            by_source[envelope.data["source_system"]].append(envelope)
        for source in sorted(by_source):
            await self._apply_source(db, source, by_source[source], batch)
        fresh = batch.fresh
        await sync_events.record(
            db, [(fresh[m.event_id], m) for m in batch.moves if m.event_id in fresh]
        )
        await sync_events.move(db, [m for m in batch.moves if m.event_id not in fresh])
        if batch.erased:
            await sync_events.drop_payloads(db, batch.erased)
        batch.followed = await work_storage.store(db, batch.works, looks=batch.looks)
        return batch

    async def _apply_source(
        self,
        db: AsyncConnection,
        source: str,
        envelopes: Sequence[Envelope],
        batch: _Batch,
    ) -> None:
        event_ids = await self._open_events(db, source, envelopes, batch)
        by_entity: dict[str, list[tuple[str, Envelope]]] = defaultdict(list)
        touched: dict[str, list[tuple[str, Envelope]]] = defaultdict(list)
        for envelope in envelopes:
            external = envelope.data["external_event_id"]
            event_id = event_ids.pop(external, None)
            if event_id is None:
                batch.applied.append(Applied(envelope, source, "duplicate_event"))
            elif (observed := envelope.data.get("object")) is not None:
                by_entity[observed["entity_type"]].append((event_id, envelope))
            elif (named := envelope.data.get("touched")) is not None:
                touched[named["entity_type"]].append((event_id, envelope))
            else:
                reason = envelope.data.get("ignored") or "no_object"
                batch.moves.append(Transition(event_id, SyncStatus.IGNORED, reason))
                batch.applied.append(Applied(envelope, source, "ignored"))
        for entity_type in sorted(by_entity):
            await self._observe_all(db, source, entity_type, by_entity[entity_type], batch)
        for entity_type in sorted(touched):
            requests = LookRequests(source, entity_type)
            batch.moves += await requests.of(db, touched[entity_type])
            batch.looks += requests.new
            batch.applied += [Applied(e, source, TOUCHED) for _, e in touched[entity_type]]

    async def _open_events(
        self,
        db: AsyncConnection,
        source: str,
        envelopes: Sequence[Envelope],
        batch: _Batch,
    ) -> dict[str, str]:
        """Return the ids of sync events that are not applied yet, by external event id.

        New events are written later, together with their end. A dead event is applied when it is
        delivered again, because the state that it shows still counts.
        """
        first = {e.data["external_event_id"]: e for e in reversed(envelopes)}
        known = await sync_events.by_external_id(db, source, list(first))
        fresh = {name: received_event(e) for name, e in first.items() if name not in known}
        batch.fresh |= {event.id: event for event in fresh.values()}
        waiting = {
            name: s.id
            for name, s in known.items()
            if s.status is SyncStatus.DEAD or not s.status.final
        }
        return {name: event.id for name, event in fresh.items()} | waiting

    async def _observe_all(
        self,
        db: AsyncConnection,
        source: str,
        entity_type: str,
        events: Sequence[tuple[str, Envelope]],
        batch: _Batch,
    ) -> None:
        view = self._context.translator.view(source, entity_type)
        observations = [
            observation(view, e.data) if name in batch.fresh else delayed_observation(view, e)
            for name, e in events
        ]
        work = await work_storage.load(
            db,
            self._context.connections[source],
            entity_type,
            seen=observations,
        )
        owners = self._context.router.owners_of(entity_type)
        broadcaster = self._context.broadcaster
        match_looks = MatchLooks(source, entity_type)
        for (event_id, envelope), seen in zip(events, observations, strict=True):
            record_id, outcome = work.observe(seen)
            cause = Cause(envelope.correlation_id, event_id, envelope.traceparent)
            detail = describe(work, record_id, seen, outcome)
            detail.update(broadcast(broadcaster, work, record_id, outcome, cause))
            batch.moves.append(transition(event_id, record_id, seen, outcome, detail))
            batch.applied.append(Applied(envelope, source, outcome.verdict, outcome))
            if outcome.delete_record:
                batch.deletes[source].append(event_id)
            if record_id is not None and (record := work.records.get(record_id)) is not None:
                _keep_no_payload(batch, event_id, record)
            if record_id is not None:
                work.follow_ups.causes[record_id] = cause
            if work.search.match_by:
                match_looks.add(seen.external_id, outcome.verdict, cause)
            if outcome.verdict is Verdict.LATE:
                work.follow_ups.look(seen.external_id, cause)
            elif outcome.look is not None:
                work.follow_ups.look(outcome.look, cause)
            elif record_id is not None and outcome.verdict.changes_state:
                _follow(work, record_id, outcome, owners, cause)
        work.follow_ups.looks += await match_looks.requests(db)
        allowed = DeleteGuard.of(self._context.connections[source].settings)
        await allowed.check(db, source, batch.deletes[source])
        await work_storage.flush(db, work)
        batch.works.append(work)

    def _count(self, applied: Sequence[Applied]) -> None:
        metrics = self._context.metrics
        for (source, verdict), count in Counter((a.source, a.verdict) for a in applied).items():
            metrics.inbound_events.labels(source, verdict).inc(count)
        for one in applied:
            for conflict in one.outcome.conflicts if one.outcome else ():
                metrics.conflicts.labels(one.source, conflict.winner.value).inc()


def _keep_no_payload(batch: _Batch, event_id: str, record: Record) -> None:
    """Drop the message of an event about an erased record."""
    if not record.erased:
        return
    fresh = batch.fresh.get(event_id)
    if fresh is None:
        batch.erased.append(event_id)
    else:
        batch.fresh[event_id] = fresh._replace(payload=None)


def _follow(
    work: UnitOfWork, record_id: str, outcome: Outcome, owners: Sequence[str], cause: Cause
) -> None:
    """Enqueue a changed record for other connections, and for its own if they differ still."""
    work.follow(record_id, outcome, owners, cause)
    if work.plan(record_id).kind not in {StepKind.NOTHING, StepKind.WAIT}:
        work.follow_ups.resync(work.records[record_id], cause)
