"""Publish snapshots as inbound events, which then take the normal inbound path."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from zenskar.bus.port import Bus
from zenskar.db.driver.storable import indexable
from zenskar.model.integration import WebhookEvent
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.timestamps import utc_now
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_publisher import EventPublisher
from zenskar.sync.event_reader import EventItem, EventReader, with_unique_ids
from zenskar.sync.message_encoder import MessageOrigin, identity
from zenskar.sync.reconcile.reader import Snapshot
from zenskar.sync.translator import memo_of
from zenskar.sync.unreadable import dead_letter_unread, name_of_unread, of_item, why
from zenskar.telemetry.logs import get_logger

_ACTIONS = {ObservationKind.LIST: "listed", ObservationKind.FETCH: "fetched"}
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NotRead:
    """An object that cannot be read: the kind of failure and a reason without field values."""

    kind: str
    external_id: str | None
    record_id: str | None
    why: str


@dataclass(frozen=True, slots=True)
class PublishedSnapshots:
    """The external event ids of the published events, and the number of invalid objects."""

    event_ids: tuple[str, ...]
    invalid: int = 0


class SnapshotPublisher:
    """Publishes snapshots; an invalid object does not stop the others."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._publisher = EventPublisher(context, bus)
        self._reader = EventReader(context.translator, event_schema)

    def observation(
        self, source: str, snapshot: Snapshot, kind: ObservationKind, revision: int | None = None
    ) -> Observation | NotRead:
        """Return the observation that a snapshot gives, or the reason why it cannot be read.

        `revision` is the mapping's revision when the call was sent.
        """
        seen = snapshot.seen
        try:
            document = self._context.translator.document(source, seen)
            self._context.translator.check_rules(source, seen.entity_type, document)
        except Exception as error:  # noqa: BLE001 - one object must not stop the others
            return _not_read(source, snapshot, error)
        shown = self._context.translator.view(source, seen.entity_type).show(document)
        return Observation(
            kind=kind,
            external_id=seen.external_id,
            asof=snapshot.asof,
            fields=shown.fields,
            unseen=shown.unseen,
            apart=shown.apart,
            record_id=seen.record_id,
            seen_revision=revision,
            sent=snapshot.asof,
            changed_at=seen.changed_at,
            version=seen.version,
            memo=None if seen.memo is None else memo_of(seen.memo),
            merged_into=seen.merged_into,
            purged=seen.purged,
        )

    async def publish(
        self, source: str, snapshots: Iterable[Snapshot], kind: ObservationKind, run_id: str
    ) -> PublishedSnapshots:
        """Publish snapshots in their order; all of them are durable on return.

        Within one run each state of an object is published once. An invalid object becomes a dead
        letter, since it may never be read again. Raises `Unavailable` when the bus is.
        """
        now = utc_now()
        events = with_unique_ids([_event(each, kind, run_id) for each in snapshots], source, run_id)
        items = [
            EventItem(source, e, run_id, MessageOrigin(now, identity(e)[1], kind)) for e in events
        ]
        self._reader.read(items)
        readable = [item for item in items if item.error is None]
        await self._publisher.publish([item.made for item in readable])
        for item in items:
            if item.error is not None:
                await self._dead_letter(item, item.error)
        names = tuple(identity(item.event)[0] for item in readable)
        return PublishedSnapshots(names, len(items) - len(readable))

    async def _dead_letter(self, item: EventItem, error: Exception) -> None:
        """Store one dead letter for each state of an object, however many runs read it."""
        seen = item.event.seen
        if seen is not None:
            item.event = replace(item.event, id=name_of_unread(seen))
        await dead_letter_unread(self._context, of_item(item, error))


def _event(snapshot: Snapshot, kind: ObservationKind, run_id: str) -> WebhookEvent:
    seen = snapshot.seen
    return WebhookEvent(
        id=indexable(f"{run_id}:{seen.external_id}:{snapshot.asof.low}"),
        type=f"{seen.entity_type}.{_ACTIONS[kind]}",
        occurred=snapshot.asof,
        seen=seen,
    )


def _not_read(source: str, snapshot: Snapshot, error: Exception) -> NotRead:
    kind, problem = why(source, error)
    external_id = indexable(snapshot.seen.external_id)
    _log.warning("object_not_valid", source=source, external_id=external_id, problem=problem)
    return NotRead(kind.value, external_id, snapshot.seen.record_id, problem)
