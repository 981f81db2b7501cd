"""What one transaction stores for the tasks that are decided on in it, each kind at once."""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import intents
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.db.intents import NewIntent
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.sync_event import SyncStatus
from zenskar.sync import fanout
from zenskar.sync.fanout import LookRequest, RecordChange


@dataclass(slots=True)
class StepWrites:
    """Gathered in memory, stored in this order: pushes, history, changes for other connections."""

    lease_seconds: float
    intents: list[NewIntent] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    marks: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, SyncStatus, HistoryDetail]] = field(default_factory=list)
    moves: list[Transition] = field(default_factory=list)
    looks: list[LookRequest] = field(default_factory=list)
    followers: list[tuple[RecordChange, str]] = field(default_factory=list)

    async def store(self, db: AsyncConnection) -> None:
        """Write it all."""
        await intents.insert(db, self.intents)
        await intents.take(db, self.taken, self.lease_seconds)
        for event_id, reason in self.marks:
            await sync_events.mark(db, event_id, reason)
        await sync_events.note(db, self.notes)
        await sync_events.move(db, self.moves)
        await fanout.enqueue(db, self.followers)
        await fanout.enqueue_looks(db, self.looks)
