"""Turn what was looked at into news on the bus, which then goes the way of every other."""

from collections.abc import Iterable
from dataclasses import dataclass

from zenskar.bus.port import Bus
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import CallFailed, SchemaViolation
from zenskar.model.fields import show
from zenskar.model.integration import WebhookEvent
from zenskar.model.observation import Observation, ObservationKind
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.envelopes import Told, inbound_message, utc_now
from zenskar.sync.looks import Look
from zenskar.telemetry.logs import get_logger

_ACTIONS = {ObservationKind.LIST: "listed", ObservationKind.FETCH: "fetched"}
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """The external event ids of what was put on the bus, and how many objects were not valid."""

    event_ids: tuple[str, ...]
    invalid: int = 0


class Survey:
    """Reads and publishes what was looked at; an object that is not valid stops no other."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._bus = bus
        self._event_schema = event_schema

    def observation(
        self, source: str, look: Look, kind: ObservationKind, revision: int | None = None
    ) -> Observation | None:
        """Return what a look shows, None when the object is not valid.

        `revision` is the mapping's when the call was sent.
        """
        seen = look.seen
        try:
            document = self._context.translator.document(source, seen)
        except Exception as error:  # noqa: BLE001 - one object must not stop the others
            _report(source, look, error)
            return None
        shown = show(self._context.translator.shape(source, seen.entity_type), document)
        return Observation(
            kind=kind,
            external_id=seen.external_id,
            asof=look.asof,
            fields=shown.fields,
            unseen=shown.unseen,
            record_id=seen.record_id,
            seen_revision=revision,
        )

    async def publish(
        self, source: str, looks: Iterable[Look], kind: ObservationKind, run_id: str
    ) -> Published:
        """Put objects on the bus, durable on return. Within one run an object is news once."""
        messages, looks = [], tuple(looks)
        for look in looks:
            message = self._message(source, look, kind, run_id)
            if message is not None:
                messages.append(message)
        if messages:
            await self._bus.publish(messages)
        names = tuple(message.envelope.data["external_event_id"] for message in messages)
        return Published(names, len(looks) - len(messages))

    def _message(
        self, source: str, look: Look, kind: ObservationKind, run_id: str
    ) -> OutboxMessage | None:
        seen = look.seen
        news = WebhookEvent(
            id=f"{run_id}:{seen.external_id}",
            type=f"{seen.entity_type}.{_ACTIONS[kind]}",
            occurred=look.asof,
            seen=seen,
        )
        try:
            document = self._context.translator.document(source, seen)
            told = Told(utc_now(), look.asof, kind)
            message = inbound_message(source, news, document, run_id, told)
            self._event_schema.check(message.envelope.to_json())
        except Exception as error:  # noqa: BLE001 - one object must not stop the others
            _report(source, look, error)
            return None
        return message


def _report(source: str, look: Look, error: Exception) -> None:
    """Say which object is not valid and where, without what it holds."""
    known = isinstance(error, SchemaViolation | CallFailed)
    _log.warning(
        "object_not_valid",
        source=source,
        external_id=look.seen.external_id,
        problem=str(error) if known else type(error).__name__,
    )
