"""Request fetches of the objects that events name without their state."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings
from zenskar.db.events import look_events
from zenskar.db.events.sync_events import Transition
from zenskar.kernel import Verdict
from zenskar.model.envelope import Envelope
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.fanout import AMBIGUOUS_MATCH, Cause, LookRequest

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
        waiting = await look_events.waiting(db, self.source, self.entity_type, names)
        ended = []
        for event_id, envelope in events:
            name = envelope.data["touched"]["external_id"]
            if name not in waiting:
                cause = Cause(envelope.correlation_id, event_id, envelope.traceparent)
                waiting[name] = self._request(name, cause)
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

    def _request(self, external_id: str, cause: Cause) -> str:
        look = LookRequest(self.source, self.entity_type, external_id, *cause)
        self.new.append(look)
        return look.id


_FIRST_SIGHTS = frozenset({Verdict.CREATED, Verdict.LINKED})


@dataclass(slots=True)
class MatchLooks:
    """The fetches of objects that match no single free record, or did not before.

    An object has one fetch that waits for a worker, or one dead letter that waits for a person: a
    retry fetches the present state.
    """

    source: str
    entity_type: str
    _undecided: dict[str, Cause] = field(default_factory=dict)
    _decided: dict[str, Cause] = field(default_factory=dict)

    def add(self, external_id: str, verdict: Verdict, cause: Cause) -> None:
        """Add the verdict on an object of a connection that matches objects."""
        if verdict is Verdict.UNDECIDED:
            self._undecided.setdefault(external_id, cause)
        elif verdict in _FIRST_SIGHTS:
            self._decided[external_id] = cause

    async def requests(self, db: AsyncConnection) -> list[LookRequest]:
        """Return the fetches to request.

        The state of an undecided object was not applied. So an object with a mapping is fetched if
        it was undecided before: a newer state may have come in between.
        """
        about = (self.source, self.entity_type)
        wanted = dict(self._undecided)
        if wanted:
            waiting = await look_events.waiting(db, *about, wanted, dead_for=AMBIGUOUS_MATCH)
            wanted = {each: cause for each, cause in wanted.items() if each not in waiting}
        if self._decided:
            doubtful = await look_events.have_looked(db, *about, self._decided, AMBIGUOUS_MATCH)
            wanted |= {each: self._decided[each] for each in sorted(doubtful)}
        source, entity_type = about
        return [LookRequest(source, entity_type, each, *cause) for each, cause in wanted.items()]
