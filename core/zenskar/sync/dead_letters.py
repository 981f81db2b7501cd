"""Write dead letters: a sync event that ends as dead and, with Kafka, a message on `sync.dlq`.

Both are written in one transaction; the original message is acknowledged after that.
"""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import ENCODING
from zenskar.db import outbox
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.db.outbox import OutboxRow
from zenskar.model.envelope import DEAD_LETTER
from zenskar.model.notices import DeadLetterAdded
from zenskar.model.sync_event import NO_SOURCE, SyncStatus
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.sync.announcements import announce
from zenskar.telemetry.metrics import Metrics

_MESSAGE_LENGTH = 1000


class RawMessage(Protocol):
    """A message as a dead letter keeps it, such as a `Delivery`.

    `origin` is the place where it was read: topic, partition and offset.
    """

    @property
    def key(self) -> str:
        """The key that keeps order."""

    @property
    def value(self) -> bytes:
        """The message itself."""

    @property
    def origin(self) -> Mapping[str, str]:
        """The place where it was read, empty for a message from no bus."""


@dataclass(frozen=True, slots=True)
class UnsentMessage:
    """A message that was not received from a bus."""

    key: str
    value: bytes
    origin: Mapping[str, str] = field(default_factory=dict)


class DeadLetterWriter:
    """Writes dead letters; without `publishing` as sync events only."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        publishing: bool,
        sources: Collection[str] | None = None,
        broadcaster: Broadcaster | None = None,
    ) -> None:
        self._metrics = metrics
        self._broadcaster = broadcaster or Broadcaster()
        self._sources = sources
        self._publishing = publishing

    async def write(
        self,
        db: AsyncConnection,
        source: str,
        message: RawMessage,
        why: Transition,
        *,
        attempts: int,
    ) -> None:
        """End a sync event as dead, and keep its message.

        Raises `ValueError` unless `why` ends the event as dead.
        """
        if why.status is not SyncStatus.DEAD:
            raise ValueError("a dead letter belongs to a dead sync event")
        await sync_events.move(db, [why])
        await sync_events.keep_payload(db, why.event_id, as_text(message.value))
        if self._publishing:
            row = _row(source, message, why, attempts)
            await outbox.insert_rows(db, [row])
        self.announce(source, why)

    def announce(self, source: str, why: Transition) -> None:
        """Announce a dead letter after the commit; `write` does so for those that it writes."""
        notice = DeadLetterAdded(source, why.event_id, why.error_kind, why.reason)
        announce(self._broadcaster, notice)

    def count(self, source: str, kind: str) -> None:
        """Count a dead letter; call this after the commit."""
        # A message may name any source, but the values of a label have to be few.
        if self._sources is not None and source not in self._sources:
            source = NO_SOURCE
        self._metrics.dead.labels(source, kind).inc()


def as_text(value: bytes) -> str:
    """Return a message as text that the database accepts, whatever its bytes are."""
    return value.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def _row(source: str, message: RawMessage, why: Transition, attempts: int) -> OutboxRow:
    headers = {f"zenskar-{name}": value for name, value in message.origin.items()} | {
        "zenskar-sync-event": why.event_id,
        "zenskar-error-class": why.error_kind or "",
        "zenskar-error-message": (why.error_message or "")[:_MESSAGE_LENGTH],
        "zenskar-attempts": str(attempts),
    }
    text = as_text(message.value)
    if text.encode() != message.value:
        text, headers = base64.b64encode(message.value).decode(), headers | {ENCODING: "base64"}
    key = as_text(message.key.encode("utf-8", "replace")) or why.event_id
    return OutboxRow(DEAD_LETTER, key, source, text, headers=headers)
