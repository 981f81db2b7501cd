"""Wait until the workers have done what was asked of them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections, reconcile_runs
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import sync_events
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.context import SyncContext

_POLL_SECONDS, _MOST_POLL_SECONDS = 0.01, 0.5


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the awaited events: how many are dead, how many are not final yet."""

    dead: int = 0
    unfinished: int = 0


class EventWaiter:
    """Polls the sync events; gives up when nothing changes for `patience_seconds`."""

    def __init__(
        self,
        context: SyncContext,
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._patience = patience_seconds
        self._clock = clock

    async def settled(
        self, source: str, event_ids: Sequence[str], correlation_id: str | None = None
    ) -> Settled:
        """Wait for events by their external ids, and for all of a correlation.

        Returns early when the connection is paused, since then nothing moves.
        """
        before, since, pause = Settled(unfinished=-1), self._clock(), _POLL_SECONDS
        while True:
            now, paused = await in_transaction(
                self._context.engine, lambda c: self._look(c, source, event_ids, correlation_id)
            )
            if not now.unfinished or paused or self._clock() - since > self._patience:
                return now
            if now != before:
                before, since, pause = now, self._clock(), _POLL_SECONDS
            await asyncio.sleep(pause)
            pause = min(_MOST_POLL_SECONDS, pause * 1.5)

    async def _look(
        self,
        db: AsyncConnection,
        source: str,
        event_ids: Sequence[str],
        correlation_id: str | None,
    ) -> tuple[Settled, bool]:
        known = await sync_events.by_external_id(db, source, event_ids)
        final = [event.status for event in known.values() if event.status.final]
        unfinished = len(event_ids) - len(final)
        if correlation_id is not None and not unfinished:
            unfinished = await reconcile_runs.count_open(db, source, correlation_id)
        states = await connections.states(db)
        paused = source in states and states[source].paused
        return Settled(sum(status is SyncStatus.DEAD for status in final), unfinished), paused
