"""Turn the history of a record into steps, each with its cause."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from zenskar.db.connections import PAUSED
from zenskar.db.events.timeline import StoredEntry, StoredEvent, Timeline
from zenskar.kernel import StepKind, Verdict
from zenskar.kernel.policy import Side
from zenskar.model.fields import CUSTOMER, flatten
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.ops.events import REVEALED
from zenskar.ops.explain.model import (
    POLL,
    Addition,
    BrokenRule,
    ConflictSeen,
    HistoryStep,
    HistoryStepKind,
    Provenance,
    Queued,
)
from zenskar.ops.explain.provenance import FieldProvenance
from zenskar.sync import fanout
from zenskar.sync.republish import REQUESTED

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_API_ACTIONS = (fanout.CREATED, fanout.UPDATED, fanout.DELETED)
_RESOLVING = (StepKind.FETCH, StepKind.FIND, StepKind.RESEND)


class TimelineBuilder:
    """Reads the entries in the order in which they were written.

    Decisions about a record are made under its lock, so this order is also the causal order. Steps
    refer to each other by their place in `steps` until they are numbered.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.provenance = FieldProvenance(complete=not timeline.truncated)
        self._timeline = timeline
        self._steps: list[HistoryStep] = []
        self._times: list[datetime] = []
        self._events = {event.id: event for event in timeline.events}
        self._push_states = {intent.id: intent.state for intent in timeline.intents}
        self._opening: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._pushes: dict[str, int] = {}
        self._changes: dict[tuple[Any, ...], int] = {}
        self._now = _EPOCH
        for entry in timeline.entries:
            self._now = max(self._now, entry.at)
            self._add_entry(self._events[entry.event_id], entry)
        self._add_pauses()
        if (
            self.provenance.version is not None
            and self.provenance.version < timeline.customer.version
        ):
            self.provenance.reach(timeline.customer.version + 1)

    def in_order(self) -> tuple[tuple[HistoryStep, ...], tuple[Provenance, ...]]:
        """Return the steps by time, no effect before its cause, and the origin of each field."""
        places = sorted(range(len(self._steps)), key=lambda place: (self._times[place], place))
        numbers = {place: number for number, place in enumerate(places, 1)}
        steps = [
            replace(step, number=numbers[place], cause=numbers.get(_place(step.cause)))
            for place in places
            for step in [self._steps[place]]
        ]
        present = self._timeline.customer.record.fields
        return spaced(steps), self.provenance.provenance(present, self._steps, numbers)

    def _add_entry(self, event: StoredEvent, entry: StoredEntry) -> None:
        detail = entry.detail
        if event.id not in self._opening:
            self._open(event, entry)
        elif "step" in detail:
            self._add_call(event, entry)
        elif "verdict" in detail:
            self._add_decision(event, entry)
        elif "added" in detail:
            self._add_additions(event, entry)
        elif "error_kind" in detail:
            self._add(HistoryStepKind.FAILED, event, entry, cause=self._latest[event.id])
        elif detail.get("reason") == REQUESTED:
            self._opening[event.id] = self._add(HistoryStepKind.RETRY, event, entry)
        else:
            done = SyncStatus(entry.status).final and detail.get("reason") != REVEALED
            kind = HistoryStepKind.DONE if done else HistoryStepKind.NOTE
            self._add(kind, event, entry, cause=self._opening[event.id])

    def _open(self, event: StoredEvent, entry: StoredEntry) -> None:
        if event.direction == Direction.INBOUND:
            place = self._add_observation(event, entry)
        elif event.causation_id is None and event.event_type.endswith(_API_ACTIONS):
            place = self._add_change(event, entry)
        else:
            version = entry.detail.get("record_version")
            cause = self._latest.get(event.causation_id or "")
            place = self._add(HistoryStepKind.QUEUED, event, entry, cause=cause, version=version)
        self._opening[event.id] = self._latest[event.id] = place

    def _add_change(self, event: StoredEvent, entry: StoredEntry) -> int:
        """Add a change through the API, whose events for all connections are one step."""
        detail = entry.detail
        key = (event.event_type, event.correlation_id, event.created_at)
        queued = Queued(event.source_system, event.id, event.status)
        if key in self._changes:
            place = self._changes[key]
            step = self._steps[place]
            self._steps[place] = replace(step, queued=(*step.queued, queued))
            return place
        version = self.provenance.reach(detail.get("record_version"))
        deletes = event.event_type.endswith(fanout.DELETED)
        self.provenance.deleted |= deletes
        place = self._add(HistoryStepKind.CHANGE, event, entry, version=version, deletes=deletes)
        changes = self.provenance.write(place, detail.get("changes") or {}, detail.get("before"))
        self._steps[place] = replace(
            self._steps[place], source_system=None, event_id=None, changes=changes, queued=(queued,)
        )
        self._changes[key] = place
        return place

    def _add_observation(self, event: StoredEvent, entry: StoredEntry) -> int:
        data = _data(event)
        # The cause is a push of ours, or the event that asked for this observation.
        requested_by = self._latest.get(event.causation_id or "")
        cause = self._pushes.get(data.get("origin_key") or "", requested_by)
        document = (data.get("object") or {}).get("document")
        place = self._add(
            HistoryStepKind.OBSERVED,
            event,
            entry,
            cause=cause,
            reason=POLL if data.get("polled") else data.get("kind") or "webhook",
            external_id=event.external_id,
            external_event_id=event.external_event_id,
            occurred=interval(data.get("occurred")),
            shown=flatten(CUSTOMER, document or {}),
        )
        self._received(place, entry.detail.get("received_at"))
        return place

    def _received(self, place: int, received_at: str | None) -> None:
        """Date an inbound event by its receipt on the API's clock, not by its processing."""
        if received_at is None:
            return
        step = self._steps[place]
        received = datetime.fromisoformat(received_at)
        earliest = _EPOCH if step.cause is None else self._times[step.cause]
        self._steps[place] = replace(step, at=received)
        self._times[place] = max(earliest, min(received, self._now))

    def _add_call(self, event: StoredEvent, entry: StoredEntry) -> None:
        call, key = entry.detail["step"], entry.detail.get("idempotency_key")
        # A resolving call is due to the latest failure or answer, another call to the change.
        resolving = call in _RESOLVING
        place = self._add(
            HistoryStepKind.CALL,
            event,
            entry,
            cause=(self._latest if resolving else self._opening)[event.id],
            call=call,
            idempotency_key=key,
            push_state=self._push_states.get(key or ""),
            writes=entry.detail.get("changes") or {},
        )
        if key is not None:
            self._pushes[key] = place

    def _add_additions(self, event: StoredEvent, entry: StoredEntry) -> None:
        """Add the additions of plugins to the call that was planned before."""
        place = self._latest[event.id]
        if self._steps[place].kind is not HistoryStepKind.CALL:
            place = self._add(HistoryStepKind.NOTE, event, entry, cause=self._opening[event.id])
        additions = tuple(
            Addition(each["plugin"], tuple(each["members"])) for each in entry.detail["added"]
        )
        self._steps[place] = replace(self._steps[place], added=additions)

    def _add_decision(self, event: StoredEvent, entry: StoredEntry) -> None:
        """Add the decision on an answer or an event, with the changes to the record."""
        detail, verdict = entry.detail, entry.detail["verdict"]
        deletes = self._deletes(event, verdict)
        undeletes = verdict == Verdict.RESTORED and self.provenance.deleted
        self.provenance.deleted &= not undeletes
        created = verdict == Verdict.CREATED
        changed = bool(detail.get("changes")) or deletes or undeletes or created
        version = self.provenance.reach(detail.get("record_version")) if changed else None
        place = self._add(
            HistoryStepKind.ANSWER if "answer_to" in detail else HistoryStepKind.VERDICT,
            event,
            entry,
            cause=self._latest[event.id],
            call=detail.get("answer_to"),
            verdict=verdict,
            external_id=detail.get("external_id") or event.external_id,
            version=version,
            deletes=deletes,
            seen=detail.get("seen") or {},
            shown=self._steps[self._opening[event.id]].shown,
            conflicts=tuple(_conflicts(detail)),
            violations=tuple(BrokenRule(**each) for each in detail.get("violations") or ()),
        )
        changes = self.provenance.write(place, detail.get("changes") or {})
        self._steps[place] = replace(self._steps[place], changes=changes)
        for conflict in self._steps[place].conflicts:
            if conflict.winner == Side.INTERNAL:
                self.provenance.hold(place, conflict.path)

    def _deletes(self, event: StoredEvent, verdict: str) -> bool:
        """Return whether a record was deleted; an unknown object has no record to delete."""
        if verdict != Verdict.DELETED or event.entity_id is None or self.provenance.deleted:
            return False
        self.provenance.deleted = True
        return True

    def _add_pauses(self) -> None:
        for change in self._timeline.pauses:
            paused = change.state == PAUSED
            self._steps.append(
                HistoryStep(
                    HistoryStepKind.PAUSED if paused else HistoryStepKind.RESUMED,
                    change.at,
                    source_system=change.name,
                    reason=change.reason,
                    by=change.by,
                    error_kind=change.error_kind,
                    error_message=change.error_message,
                )
            )
            self._times.append(change.at)

    def _add(
        self, kind: HistoryStepKind, event: StoredEvent, entry: StoredEntry, **values: Any
    ) -> int:
        detail = entry.detail
        common: dict[str, Any] = {
            "source_system": event.source_system,
            "event_id": event.id,
            "event_type": event.event_type,
            "correlation_id": event.correlation_id,
            "causation_id": event.causation_id,
            "status": entry.status,
            "reason": detail.get("reason"),
            "by": detail.get("by"),
            "place": detail.get("from"),
            "error_kind": detail.get("error_kind"),
            "error_message": detail.get("error_message"),
            "retry_in_seconds": detail.get("retry_in_seconds"),
            "revision": detail.get("revision"),
            "fetch_wanted": bool(detail.get("fetch_wanted")),
            "merged_into": detail.get("merged_into"),
            "purged": bool(detail.get("purged")),
        }
        self._steps.append(HistoryStep(kind, entry.at, **(common | values)))
        self._times.append(self._now)
        self._latest[event.id] = len(self._steps) - 1
        return self._latest[event.id]


def spaced(steps: Iterable[HistoryStep]) -> tuple[HistoryStep, ...]:
    """Return the steps with the time since the previous step."""
    found: list[HistoryStep] = []
    for step in steps:
        since = max(0.0, (step.at - found[-1].at).total_seconds()) if found else None
        found.append(replace(step, since_previous_seconds=since))
    return tuple(found)


def interval(ends: Any) -> tuple[datetime, datetime] | None:
    """Return the times of two values in microseconds since the epoch, None if they are invalid."""
    try:
        low, high = (_EPOCH + timedelta(microseconds=end) for end in ends)
    except (TypeError, ValueError, OverflowError):
        return None
    return low, high


def _data(event: StoredEvent) -> Mapping[str, Any]:
    try:
        message = orjson.loads(event.payload or "{}")
    except orjson.JSONDecodeError:
        return {}
    data = message.get("data") if isinstance(message, dict) else None
    return data if isinstance(data, dict) else {}


def _conflicts(detail: HistoryDetail) -> Iterable[ConflictSeen]:
    return (ConflictSeen(**conflict) for conflict in detail.get("conflicts") or ())


def _place(cause: int | None) -> int:
    return -1 if cause is None else cause
