"""Resume a connection by hand: what is held is let go or dropped, and never by the way."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connection_accounts, connections, held_deletes
from zenskar.db.connections import DELETE_GUARD, OTHER_ACCOUNT
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.db.held_deletes import HeldDelete
from zenskar.errors import CallFailed, FailureKind, StateConflict
from zenskar.ids import new_id
from zenskar.model.observation import ObservationKind
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.publisher import SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, Snapshot, together

DROPPED = "delete_dropped"
"""The reason of a delete that an operator has dropped."""
_BATCH = 100


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """What an operator says with a resume.

    `apply_deletes` is the number of held deletes that were shown and are meant.
    """

    apply_deletes: int | None = None
    accept_account: bool = False


async def resume(db: AsyncConnection, name: str, by: str, wish: ResumeRequest) -> None:
    """Let a connection go on; raise `Conflict` when something is held and nothing was said of it.

    Only what is held at this moment passes the guard, nothing that comes after.
    """
    state = (await connections.states(db)).get(name)
    reason = state.reason if state is not None and state.paused else None
    notes = []
    if wish.accept_account:
        notes.append(await _accept(db, name, reason))
    if reason == DELETE_GUARD:
        waiting = await held_deletes.count(db, name)
        _check_count(name, waiting, wish.apply_deletes)
        await connections.let_deletes_go(db, name)
        notes.append(f"{waiting} held deletes were let go")
    elif wish.apply_deletes:
        raise StateConflict(f"the connection {name} holds no deletes")
    await connections.resume(db, name, by, "; ".join(notes) or None)


async def _require_guard(db: AsyncConnection, name: str) -> None:
    state = (await connections.states(db)).get(name)
    if state is None or not state.paused or state.reason != DELETE_GUARD:
        raise StateConflict(f"the connection {name} holds no deletes")


async def _accept(db: AsyncConnection, name: str, reason: str | None) -> str:
    account = await connection_accounts.accept(db, name) if reason == OTHER_ACCOUNT else None
    if account is None:
        raise StateConflict(f"the connection {name} is not stopped for another account")
    return f"the account {account} was accepted"


def _check_count(name: str, waiting: int, told: int | None) -> None:
    if waiting == (told or 0):
        return
    raise StateConflict(
        f"{waiting} deletes are held at {name}, see zenskar connections held {name}: resume with "
        f"--apply-deletes {waiting} to delete these records, or with --drop-deletes to look at "
        "each object and drop what is not proven deleted"
    )


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a look at each held delete came to: dropped ones, and those that are proven."""

    dropped: int
    proven: int


@dataclass(frozen=True, slots=True)
class HeldDeleteDropper:
    """Drops held deletes whose objects live, or are not visible, and takes in what it saw."""

    context: SyncContext
    reader: ExternalReader
    publisher: SnapshotPublisher

    async def drop(self, name: str, by: str) -> Dropped:
        """Look at each object of a held delete; resume the connection unless some are proven.

        Raises `CallFailed` when the external system does not answer; what was dropped stays so.
        """
        await in_transaction(self.context.engine, lambda c: _require_guard(c, name))
        dropped = proven = 0
        after, run_id = held_deletes.FIRST_ID, new_id()
        while waiting := await self._next(name, after):
            after = waiting[-1].id
            looks = await self._look(name, waiting)
            gone = {i for i, look in looks.items() if look is not None and look.seen.data is None}
            wrong = [each for each in waiting if each.external_id not in gone]
            await self._drop(wrong, by)
            living = [look for i, look in looks.items() if look is not None and i not in gone]
            await self.publisher.publish(name, living, ObservationKind.FETCH, run_id)
            dropped, proven = dropped + len(wrong), proven + len(waiting) - len(wrong)
        if not proven:
            note = f"{dropped} held deletes were dropped"
            await in_transaction(
                self.context.engine, lambda c: connections.resume(c, name, by, note)
            )
        return Dropped(dropped, proven)

    async def _next(self, name: str, after: str) -> Sequence[HeldDelete]:
        return await in_transaction(
            self.context.engine, lambda c: held_deletes.deletes(c, name, _BATCH, after)
        )

    async def _look(self, name: str, waiting: Sequence[HeldDelete]) -> dict[str, Snapshot | None]:
        """Fetch each object; None stands for one that is not visible."""
        about = {each.external_id: each.entity_type for each in waiting}
        answers = await together(
            self.reader.fetch(name, entity_type, external_id)
            for external_id, entity_type in about.items()
        )
        found: dict[str, Snapshot | None] = {}
        for external_id, answer in zip(about, answers, strict=True):
            if isinstance(answer, CallFailed) and answer.failure.kind != FailureKind.NOT_VISIBLE:
                raise answer
            found[external_id] = None if isinstance(answer, CallFailed) else answer
        return found

    async def _drop(self, wrong: Sequence[HeldDelete], by: str) -> None:
        moves = [
            Transition(each.id, SyncStatus.IGNORED, DROPPED, detail={"by": by}) for each in wrong
        ]
        await in_transaction(self.context.engine, lambda c: sync_events.move(c, moves))
