"""The pushes, history and messages that follow the decisions of a unit of work."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from zenskar.db.events.sync_events import EventState, NewEntry, Transition
from zenskar.db.intents import NewIntent
from zenskar.kernel import Outcome
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.record import Record
from zenskar.model.sync_event import SyncStatus
from zenskar.sync import fanout
from zenskar.sync.fanout import Cause, LookRequest, RecordChange


@dataclass(slots=True)
class FollowUps:
    """The writes of one source system and entity type that are stored after their records.

    `work_storage.store` writes those of all units of a transaction at once.
    """

    source: str
    entity_type: str
    new_intents: list[NewIntent] = field(default_factory=list)
    """Pushes to be sent after the commit."""
    resent: list[str] = field(default_factory=list)
    """Ids of stored pushes to be sent again after the commit."""
    marks: list[tuple[str, str]] = field(default_factory=list)
    notes: list[NewEntry] = field(default_factory=list)
    moves: list[Transition] = field(default_factory=list)
    changes: list[tuple[RecordChange, str]] = field(default_factory=list)
    """Changes of records, each with a source system to push it to."""
    looks: list[LookRequest] = field(default_factory=list)
    causes: dict[str, Cause] = field(default_factory=dict)
    """The sync events that may end a record, by record id."""

    def fan_out(
        self, record: Record, outcome: Outcome, owners: Iterable[str], cause: Cause
    ) -> None:
        """Enqueue a changed record for every other source system that syncs it."""
        others = [source for source in owners if source != self.source]
        if others:
            change = RecordChange.of(self.entity_type, record, action_of(outcome), *cause)
            self.changes += [(change, source) for source in others]

    def resync(self, record: Record, cause: Cause) -> None:
        """Enqueue an event of its own for the steps that a record still needs."""
        change = RecordChange.of(self.entity_type, record, fanout.RESYNC, *cause)
        self.changes.append((change, self.source))

    def look(self, external_id: str | None, cause: Cause) -> None:
        """Request the fetch of an object, if any."""
        if external_id is not None:
            self.looks.append(LookRequest(self.source, self.entity_type, external_id, *cause))

    def note(self, event: EventState | None, detail: HistoryDetail) -> None:
        """Add a detail to the history of an event without changing its status."""
        if event is not None:
            status = event.status if event.status.final else SyncStatus.PROCESSING
            self.notes.append(NewEntry(event.id, status, detail))


def action_of(outcome: Outcome) -> str:
    """Return the action of an outcome that changes its record."""
    if outcome.delete_record:
        return fanout.DELETED
    if outcome.restore_record:
        return fanout.UNDELETED
    return fanout.CREATED if outcome.create_record else fanout.UPDATED
