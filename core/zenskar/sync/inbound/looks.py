"""Request fetches of the objects that events name without their state."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.model.envelope import Envelope
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.fanout import LookRequest

TOUCHED = "touched"


@dataclass(slots=True)
class LookRequests:
    """The fetches of one source system and entity type that one transaction requests.

    Events of one object share a fetch: a new fetch, or a fetch that no worker has begun. So each
    fetch is sent after its events were received.
    """

    source: str
    entity_type: str
    new: list[LookRequest] = field(default_factory=list)

    async def of(
        self, db: AsyncConnection, events: Sequence[tuple[str, Envelope]]
    ) -> list[Transition]:
        """Return the transitions that end these events; each names the event of its fetch."""
        names = {envelope.data["touched"]["external_id"] for _, envelope in events}
        owners = await mappings.owners(db, self.source, self.entity_type, names)
        waiting = await sync_events.waiting_looks(db, self.source, self.entity_type, names)
        ended = []
        for event_id, envelope in events:
            name = envelope.data["touched"]["external_id"]
            if name not in waiting:
                waiting[name] = self._request(name, envelope.correlation_id, event_id)
            ended.append(
                Transition(
                    event_id,
                    SyncStatus.SUCCEEDED,
                    TOUCHED,
                    detail={"verdict": TOUCHED, "look": waiting[name]},
                    entity_id=owners.get(name),
                    external_id=name,
                )
            )
        return ended

    def _request(self, external_id: str, correlation_id: str, event_id: str) -> str:
        look = LookRequest(self.source, self.entity_type, external_id, correlation_id, event_id)
        self.new.append(look)
        return look.id
