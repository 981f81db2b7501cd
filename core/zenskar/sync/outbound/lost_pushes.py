"""Resolve pushes whose worker no longer waits for the answer."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import intents
from zenskar.db.driver.engine import in_transaction
from zenskar.db.intents import LostPush
from zenskar.ids import new_id
from zenskar.model.envelope import OUTBOUND
from zenskar.model.record import IntentState
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import Cause
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork
from zenskar.telemetry.logs import get_logger

_BATCH = 100
_log = get_logger(__name__)


class LostPushes:
    """Requests a fetch of the objects of lost pushes, one batch in each transaction.

    A push is lost when its worker let the lease expire, and again when it is too old to arrive:
    the fetch after that ends it.
    """

    NAME = "lost_pushes"

    def __init__(self, context: SyncContext) -> None:
        self._context = context

    async def run(self, _state: Any = None) -> None:
        """Resolve every push that is lost by now."""
        for source in self._context.connections:
            lost = await self._all(source, self._lapsed)
            lost += await self._all(source, self._unseen)
            await self._all(source, self._end_old)
            if lost:
                self._context.wake(OUTBOUND)
                _log.info("pushes_lost", source=source, count=lost)

    async def _all(
        self, source: str, part: Callable[[AsyncConnection, str], Awaitable[int]]
    ) -> int:
        done, found = 0, _BATCH
        while found == _BATCH:
            found = await in_transaction(self._context.engine, lambda c: part(c, source))
            done += found
        return done

    async def _lapsed(self, db: AsyncConnection, source: str) -> int:
        pushes = await intents.lapsed(db, source, most=_BATCH)
        return await self._lose(db, source, pushes)

    async def _unseen(self, db: AsyncConnection, source: str) -> int:
        seconds = self._request_seconds(source)
        pushes = await intents.unseen(db, source, seconds, most=_BATCH)
        return await self._lose(db, source, pushes)

    async def _end_old(self, db: AsyncConnection, source: str) -> int:
        seconds = self._request_seconds(source)
        return await intents.end_old(db, source, seconds, most=_BATCH)

    def _request_seconds(self, source: str) -> float:
        integration = self._context.connections[source].integration
        return integration.request_lifetime.total_seconds()

    async def _lose(self, db: AsyncConnection, source: str, pushes: Sequence[LostPush]) -> int:
        """Mark these pushes as lost, and enqueue a new plan of their records."""
        kinds: dict[str, list[LostPush]] = defaultdict(list)
        for push in pushes:
            kinds[push.entity_type].append(push)
        for entity_type in sorted(kinds):
            work = await work_storage.load(
                db,
                self._context.connections[source],
                entity_type,
                record_ids=[push.record_id for push in kinds[entity_type]],
            )
            lost = {push.record_id: push for push in kinds[entity_type] if _lose(work, push)}
            for push in lost.values():
                cause = Cause(push.correlation_id or new_id(), push.sync_event_id)
                work.follow_ups.resync(work.records[push.record_id], cause)
            await work_storage.flush(db, work)
            await work_storage.store(db, [work])
        return len(pushes)


def _lose(work: UnitOfWork, push: LostPush) -> bool:
    """Mark a push as lost, unless its answer was applied meanwhile."""
    if push.record_id not in work.records:
        work.settle(push.id, IntentState.ENDED)
        return False
    open_ones = work.intents.get(push.record_id, ())
    if not any(i.id == push.id and i.state is IntentState.UNKNOWN for i in open_ones):
        return False
    work.lose(push.record_id, push.id, IntentState.UNKNOWN)
    return True
