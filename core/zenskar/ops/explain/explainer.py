"""Explain the history and the present state of a record."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import timeline as stored
from zenskar.db.events.timeline import CustomerMatch, StoredEvent, Timeline, TimelineMapping
from zenskar.errors import InvalidInput, NotFound
from zenskar.kernel import Verdict
from zenskar.model.coverage import Coverage
from zenskar.model.fields import CUSTOMER, difference, escape
from zenskar.model.record import IntentKind, IntentState, Record
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.ops.explain.model import (
    Explanation,
    FieldDiff,
    HistoryStep,
    HistoryStepKind,
    OpenIntent,
    SystemSnapshot,
    Unfinished,
)
from zenskar.ops.explain.timeline import TimelineBuilder, interval, spaced
from zenskar.sync.outbound.planner import LEFT

MOST_EVENTS = 1000
_MOST_MATCHES = 50
_FOLLOWERS = (
    HistoryStepKind.ANSWER,
    HistoryStepKind.FAILED,
    HistoryStepKind.OBSERVED,
    HistoryStepKind.VERDICT,
)
_PAUSES = (HistoryStepKind.PAUSED, HistoryStepKind.RESUMED)
_OUTSIDE = (Verdict.OUTSIDE.value, LEFT)
_OPEN = (IntentState.SENT, IntentState.UNKNOWN)


async def find(engine: AsyncEngine, name: str) -> list[CustomerMatch]:
    """Return the customers that have this id, external id or e-mail."""
    if not name.isprintable():
        return []
    return await in_transaction(engine, lambda c: stored.find(c, name, most=_MOST_MATCHES))


async def explain(
    engine: AsyncEngine, customer_id: str, *, most_events: int = MOST_EVENTS
) -> Explanation:
    """Return the explanation of a customer, also of a deleted one. Raises `NotFound`."""
    found = await in_transaction(engine, lambda c: stored.load(c, customer_id, most=most_events))
    if found is None:
        raise NotFound("there is no customer with this id")
    return assemble(found)


def assemble(timeline: Timeline) -> Explanation:
    """Build an explanation from the stored events, intents and mappings."""
    customer, builder = timeline.customer, TimelineBuilder(timeline)
    steps, provenance = builder.in_order()
    return Explanation(
        id=customer.id,
        version=customer.version,
        fields=customer.record.fields,
        created_at=customer.created_at,
        updated_at=customer.updated_at,
        deleted_at=customer.deleted_at,
        systems=_systems(timeline),
        provenance=provenance,
        unfinished=tuple(_unfinished(event) for event in timeline.events if _waits(event)),
        steps=steps,
        missing_versions=tuple(builder.provenance.missing),
        truncated=timeline.truncated,
    )


def narrow(explanation: Explanation, field: str) -> Explanation:
    """Keep the steps that concern one field: `email`, `metadata` or `metadata.plan`.

    Raises `InvalidInput` when a customer has no such field.
    """
    concerned = _selector(field)
    kept: set[int] = set()
    for step in explanation.steps:
        follows = step.kind in _FOLLOWERS and step.cause in kept
        if follows or step.kind in _PAUSES or _concerns(step, concerned):
            kept.add(step.number)
    for step in reversed(explanation.steps):
        if step.number in kept and step.cause is not None:
            kept.add(step.cause)
    return replace(
        explanation,
        field=field,
        fields={path: v for path, v in explanation.fields.items() if concerned(path)},
        systems=tuple(
            replace(
                s,
                base={path: value for path, value in s.base.items() if concerned(path)},
                differences=tuple(d for d in s.differences if concerned(d.path)),
            )
            for s in explanation.systems
        ),
        provenance=tuple(p for p in explanation.provenance if concerned(p.path)),
        steps=spaced(_only(s, concerned) for s in explanation.steps if s.number in kept),
    )


def _selector(field: str) -> Callable[[str], bool]:
    name, *key = re.split(r"[./]", field.lstrip("/"), maxsplit=1)
    if name not in (*CUSTOMER.plain, *CUSTOMER.keyed):
        known = ", ".join((*CUSTOMER.plain, *(f"{name}.KEY" for name in CUSTOMER.keyed)))
        raise InvalidInput(f"a customer has no such field; there are {known}")
    if key and name in CUSTOMER.keyed:
        return f"/{name}/{escape(key[0])}".__eq__
    return lambda path: path.split("/")[1] == name


def _concerns(step: HistoryStep, concerned: Callable[[str], bool]) -> bool:
    paths = [
        *(diff.path for diff in step.changes),
        *(conflict.path for conflict in step.conflicts),
        *step.writes,
        *step.seen,
    ]
    return step.deletes or step.call == IntentKind.DELETE or any(map(concerned, paths))


def _only(step: HistoryStep, concerned: Callable[[str], bool]) -> HistoryStep:
    """Return a step without the other fields."""
    return replace(
        step,
        changes=tuple(diff for diff in step.changes if concerned(diff.path)),
        conflicts=tuple(c for c in step.conflicts if concerned(c.path)),
        violations=tuple(
            v for v in step.violations if v.pointer[:1] != "/" or concerned(v.pointer)
        ),
        writes={path: value for path, value in step.writes.items() if concerned(path)},
        seen={path: value for path, value in step.seen.items() if concerned(path)},
        shown={path: value for path, value in step.shown.items() if concerned(path)},
    )


def _systems(timeline: Timeline) -> tuple[SystemSnapshot, ...]:
    record = timeline.customer.record
    outside = frozenset() if record.deleted else _outside(timeline.events)
    states = [_mapped(record, m, timeline) for m in timeline.mappings]
    linked = {state.source_system for state in states}
    others = {event.source_system for event in timeline.events} - linked
    states += [_placed(SystemSnapshot(name), timeline) for name in others]
    found = (_as_outside(s) if s.source_system in outside else s for s in states)
    return tuple(sorted(found, key=lambda state: state.source_system))


def _outside(events: Sequence[StoredEvent]) -> frozenset[str]:
    """Return the connections whose last push of the record ended since the filter excludes it."""
    last = {
        event.source_system: event.reason
        for event in events
        if event.direction == Direction.OUTBOUND and SyncStatus(event.status).final
    }
    return frozenset(name for name, reason in last.items() if reason in _OUTSIDE)


def _as_outside(state: SystemSnapshot) -> SystemSnapshot:
    """Return the state of a record that does not travel; a linked object is still in use."""
    if state.state not in {"none", "detached"}:
        return state
    return replace(state, state=Verdict.OUTSIDE.value, in_sync=True)


def _mapped(record: Record, stored_mapping: TimelineMapping, timeline: Timeline) -> SystemSnapshot:
    mapping = stored_mapping.mapping
    state = "detached" if mapping.detached else mapping.state.value
    state = state if mapping.merged_into is None else "merged"
    fetch_wanted = mapping.fetch_revision is not None
    compared = mapping.active and not record.deleted
    fields = (
        record.fields
        if stored_mapping.carried is None
        else Coverage.of_terms(stored_mapping.carried).pushed(record.fields, mapping.base)
    )
    changes = difference(mapping.base, fields) if compared else {}
    diffs = tuple(FieldDiff(path, mapping.base.get(path), v) for path, v in changes.items())
    placed = _placed(
        SystemSnapshot(
            stored_mapping.source_system,
            mapping.external_id,
            state=state,
            fetch_wanted=fetch_wanted,
            revision=mapping.revision,
            synced_version=stored_mapping.synced_version,
            asof=interval((mapping.asof.low, mapping.asof.high)),
            updated_at=stored_mapping.updated_at,
            base=mapping.base,
            differences=diffs,
            merged_into=mapping.merged_into,
        ),
        timeline,
    )
    asked = fetch_wanted or any(i.state == IntentState.SENT for i in placed.open_intents)
    return replace(placed, in_sync=compared and not diffs and not asked)


def _placed(state: SystemSnapshot, timeline: Timeline) -> SystemSnapshot:
    """Add the state of the connection, and pushes to this object or to no object yet."""
    connection = timeline.connections.get(state.source_system)
    paused = connection if connection is not None and connection.paused else None
    return replace(
        state,
        paused_reason=paused.reason if paused else None,
        paused_at=paused.paused_at if paused else None,
        open_intents=tuple(
            OpenIntent(i.id, i.kind, i.state, i.created_at, i.changes)
            for i in timeline.intents
            if i.source_system == state.source_system
            and i.external_id in {None, state.external_id}
            and i.state in _OPEN
        ),
    )


def _waits(event: StoredEvent) -> bool:
    return event.status not in {SyncStatus.SUCCEEDED, SyncStatus.IGNORED}


def _unfinished(event: StoredEvent) -> Unfinished:
    return Unfinished(
        event.id,
        event.source_system,
        event.direction,
        event.event_type,
        event.status,
        event.attempts,
        event.next_attempt_at,
        event.error_kind,
        event.error_message,
    )
