"""What an inbound envelope says: its sync event, what it shows, and how it ends."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson

from zenskar.db.events.sync_events import NewSyncEvent, Transition
from zenskar.kernel import Outcome
from zenskar.model.envelope import Envelope
from zenskar.model.fields import EntityShape, show
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.sync.messages import utc_now, waited

_KINDS = MappingProxyType({kind.value: kind for kind in ObservationKind})


def new_event(envelope: Envelope) -> NewSyncEvent:
    """Return the sync event of an envelope, as it is before anything became of it."""
    data = envelope.data
    seen = data.get("object")
    return NewSyncEvent(
        id=envelope.id,
        direction=Direction.INBOUND,
        source_system=data["source_system"],
        event_type=data["event_type"],
        correlation_id=envelope.correlation_id,
        entity_type=seen["entity_type"] if seen else None,
        external_id=seen["external_id"] if seen else None,
        external_event_id=data["external_event_id"],
        causation_id=envelope.causation_id,
        payload=envelope.text or orjson.dumps(envelope.to_json()),
        detail={"received_at": envelope.time},
    )


def observation(shape: EntityShape, data: Mapping[str, Any]) -> Observation:
    """Return what an envelope's data show of an external object of this shape."""
    seen = data["object"]
    shown, sent = show(shape, seen["document"]), data.get("sent")
    changed = data.get("changed")
    return Observation(
        kind=_KINDS[data.get("kind", ObservationKind.WEBHOOK)],
        external_id=seen["external_id"],
        asof=Interval(*data["occurred"]),
        fields=shown.fields,
        unseen=shown.unseen,
        record_id=seen.get("record_id"),
        origin_key=data.get("origin_key"),
        sent=None if sent is None else Interval(*sent),
        changed=None if changed is None else tuple(changed),
    )


def overdue(shape: EntityShape, envelope: Envelope) -> Observation:
    """Return what an envelope shows that has waited, for a retry or a resumption maybe."""
    seen = observation(shape, envelope.data)
    since = waited(envelope.time, utc_now())
    return seen if seen.sent is None else replace(seen, sent=seen.sent.after(since))


def transition(
    event_id: str,
    record_id: str | None,
    seen: Observation,
    outcome: Outcome,
    detail: HistoryDetail,
) -> Transition:
    """Return the end of an event that was observed."""
    reason = "conflict" if outcome.conflicts else outcome.verdict
    return Transition(
        event_id,
        SyncStatus.SUCCEEDED if outcome.verdict.news else SyncStatus.IGNORED,
        reason,
        detail=detail,
        entity_id=record_id,
        external_id=seen.external_id,
    )
