"""Turn what was looked at into news on the bus, which then goes the way of every other."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from zenskar.bus.port import Bus
from zenskar.db.driver.storable import indexable
from zenskar.model.fields import show
from zenskar.model.integration import WebhookEvent
from zenskar.model.observation import Observation, ObservationKind
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import EventItem, EventReader, apart
from zenskar.sync.messages import MessageOrigin, utc_now
from zenskar.sync.reconcile.reader import Snapshot
from zenskar.sync.unreadable import bury_unread, digest_of, of_item, why
from zenskar.telemetry.logs import get_logger

_ACTIONS = {ObservationKind.LIST: "listed", ObservationKind.FETCH: "fetched"}
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NotRead:
    """An object that cannot be read: the kind of failure, and why, without what it holds."""

    kind: str
    external_id: str | None
    record_id: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Published:
    """The external event ids of what was put on the bus, and how many objects were not valid."""

    event_ids: tuple[str, ...]
    invalid: int = 0


class SnapshotPublisher:
    """Reads and publishes what was looked at; an object that is not valid stops no other."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._bus = bus
        self._reader = EventReader(context.translator, event_schema)

    def observation(
        self, source: str, look: Snapshot, kind: ObservationKind, revision: int | None = None
    ) -> Observation | NotRead:
        """Return what a look shows, or why the object is not valid.

        `revision` is the mapping's when the call was sent.
        """
        seen = look.seen
        try:
            document = self._context.translator.document(source, seen)
        except Exception as error:  # noqa: BLE001 - one object must not stop the others
            return _not_read(source, look, error)
        shown = show(self._context.translator.shape(source, seen.entity_type), document)
        return Observation(
            kind=kind,
            external_id=seen.external_id,
            asof=look.asof,
            fields=shown.fields,
            unseen=shown.unseen,
            record_id=seen.record_id,
            seen_revision=revision,
            sent=look.asof,
        )

    async def publish(
        self, source: str, looks: Iterable[Snapshot], kind: ObservationKind, run_id: str
    ) -> Published:
        """Put objects on the bus in their order, durable on return.

        Within one run each state of an object that was seen is news once. What is not valid is
        kept as a dead letter, since nobody may look again.
        """
        looks, now = tuple(looks), utc_now()
        events = apart([_event(look, kind, run_id) for look in looks], source, run_id)
        items = [EventItem(source, e, run_id, MessageOrigin(now, e.occurred, kind)) for e in events]
        self._reader.read(items)
        readable = [item for item in items if item.error is None]
        if readable:
            await self._bus.publish([item.made for item in readable])
        for item in items:
            if item.error is not None:
                await self._bury(item, item.error)
        return Published(tuple(i.event.id for i in readable), len(items) - len(readable))

    async def _bury(self, item: EventItem, error: Exception) -> None:
        """Keep each state of an object once, however many runs see it."""
        seen = item.event.seen
        if seen is not None:
            name = f"unread:{seen.external_id}:{digest_of(seen)}"
            item.event = replace(item.event, id=name)
        await bury_unread(self._context, of_item(item, error))


def _event(look: Snapshot, kind: ObservationKind, run_id: str) -> WebhookEvent:
    seen = look.seen
    return WebhookEvent(
        id=indexable(f"{run_id}:{seen.external_id}:{look.asof.low}"),
        type=f"{seen.entity_type}.{_ACTIONS[kind]}",
        occurred=look.asof,
        seen=seen,
    )


def _not_read(source: str, look: Snapshot, error: Exception) -> NotRead:
    kind, problem = why(source, error)
    external_id = indexable(look.seen.external_id)
    _log.warning("object_not_valid", source=source, external_id=external_id, problem=problem)
    return NotRead(kind.value, external_id, look.seen.record_id, problem)
