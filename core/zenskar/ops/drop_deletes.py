"""Drop the deletes that the delete guard holds and that the external system does not confirm."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections
from zenskar.db.connections import DELETE_GUARD
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import held_deletes, sync_events
from zenskar.db.events.held_deletes import HeldDelete
from zenskar.db.events.sync_events import Transition
from zenskar.errors import CallFailed, FailureKind, StateConflict
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.observation import ObservationKind
from zenskar.model.operator_action import ActionKind
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.audit import AuditEntry, recorded
from zenskar.sync import announcements
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.publisher import SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, Snapshot, together

DROPPED = "delete_dropped"
"""The reason of a delete that an operator has dropped."""
_BATCH = 100


class ObjectState(StrEnum):
    """The present state of the object of a held delete."""

    ALIVE = "alive"
    DELETED = "deleted"
    """The external system proves the delete."""
    MERGED = "merged"
    NOT_VISIBLE = "not_visible"
    """The credentials do not show the object."""


@dataclass(frozen=True, slots=True)
class DroppedDeletes:
    """The number of dropped deletes, and of those whose objects are proven deleted."""

    dropped: int
    proven: int


@dataclass(frozen=True, slots=True)
class HeldDeleteDropper:
    """Drops held deletes whose objects live or are not visible, and publishes the living ones."""

    context: SyncContext
    reader: ExternalReader
    publisher: SnapshotPublisher

    async def look(self, name: str, waiting: Sequence[HeldDelete]) -> dict[str, ObjectState]:
        """Fetch the object of each of these held deletes, and change nothing.

        Returns the present state by external id. Raises `CallFailed` when the external system does
        not answer.
        """
        return {i: _state(each) for i, each in (await self._fetch(name, waiting)).items()}

    async def drop(
        self, name: str, by: Actor, event_ids: Sequence[str] | None = None
    ) -> DroppedDeletes:
        """Fetch the object of each held delete; resume the connection unless some are left.

        `event_ids` chooses some of the held deletes. Raises `StateConflict` when the guard holds no
        deletes, and `CallFailed` when the external system does not answer. Deletes that were
        dropped before a failure stay dropped.
        """
        await in_transaction(self.context.engine, lambda c: _require_guard(c, name))
        chosen = None if event_ids is None else frozenset(event_ids)
        request = {} if chosen is None else {"events": len(chosen)}
        entry = AuditEntry(ActionKind.DROP_DELETES, by, name, request)
        async with recorded(self.context.engine, entry):
            done = await self._drop_each(name, chosen, entry)
            if not done.proven and not await self._are_left(name, chosen):
                note = f"{done.dropped} held deletes were dropped"
                await self._resume(name, by, note)
            return done

    async def _drop_each(
        self, name: str, chosen: frozenset[str] | None, entry: AuditEntry
    ) -> DroppedDeletes:
        dropped = proven = 0
        after, run_id = held_deletes.FIRST_ID, new_id()
        while waiting := await self._next(name, after):
            after = waiting[-1].id
            if chosen is not None:
                waiting = [each for each in waiting if each.id in chosen]
            snapshots = await self._fetch(name, waiting)
            gone = {i for i, each in snapshots.items() if _state(each) is ObjectState.DELETED}
            wrong = [each for each in waiting if each.external_id not in gone]
            entry.result["dropped"] = dropped + len(wrong)
            await self._drop(wrong, entry)
            living = [each for i, each in snapshots.items() if each and i not in gone]
            await self.publisher.publish(name, living, ObservationKind.FETCH, run_id)
            dropped, proven = dropped + len(wrong), proven + len(waiting) - len(wrong)
        return DroppedDeletes(dropped, proven)

    async def _are_left(self, name: str, chosen: frozenset[str] | None) -> bool:
        """Return whether the connection holds deletes that were not chosen."""
        if chosen is None:
            return False
        return await in_transaction(self.context.engine, lambda c: held_deletes.count(c, name)) > 0

    async def _resume(self, name: str, by: Actor, note: str) -> None:
        await in_transaction(
            self.context.engine,
            lambda c: announcements.resume(c, self.context.broadcaster, name, str(by), note),
        )

    async def _next(self, name: str, after: str) -> Sequence[HeldDelete]:
        return await in_transaction(
            self.context.engine, lambda c: held_deletes.deletes(c, name, _BATCH, after)
        )

    async def _fetch(self, name: str, waiting: Sequence[HeldDelete]) -> dict[str, Snapshot | None]:
        """Fetch each object by its id; None stands for an object that is not visible."""
        entity_types = {each.external_id: each.entity_type for each in waiting}
        answers = await together(
            self.reader.fetch(name, entity_type, external_id)
            for external_id, entity_type in entity_types.items()
        )
        found: dict[str, Snapshot | None] = {}
        for external_id, answer in zip(entity_types, answers, strict=True):
            if isinstance(answer, CallFailed) and answer.failure.kind != FailureKind.NOT_VISIBLE:
                raise answer
            found[external_id] = None if isinstance(answer, CallFailed) else answer
        return found

    async def _drop(self, wrong: Sequence[HeldDelete], entry: AuditEntry) -> None:
        detail: HistoryDetail = {"by": str(entry.by)}
        moves = [Transition(each.id, SyncStatus.IGNORED, DROPPED, detail=detail) for each in wrong]

        async def drop(db: AsyncConnection) -> None:
            await sync_events.move(db, moves)
            await entry.write_progress(db)

        await in_transaction(self.context.engine, drop)


def _state(snapshot: Snapshot | None) -> ObjectState:
    if snapshot is None:
        return ObjectState.NOT_VISIBLE
    if snapshot.seen.merged_into is not None:
        return ObjectState.MERGED
    return ObjectState.DELETED if snapshot.seen.data is None else ObjectState.ALIVE


async def _require_guard(db: AsyncConnection, name: str) -> None:
    state = (await connections.states(db)).get(name)
    if state is None or not state.paused or state.reason != DELETE_GUARD:
        raise StateConflict(f"the connection {name} holds no deletes")
