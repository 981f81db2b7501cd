"""Wait until the workers have finished a set of events."""

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
class WaitResult:
    """The number of awaited events that are dead, and of those that are not final yet."""

    dead: int = 0
    unfinished: int = 0


class EventWaiter:
    """Polls the sync events; stops when no event has changed for `stall_seconds`."""

    def __init__(
        self,
        context: SyncContext,
        stall_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._stall = stall_seconds
        self._clock = clock

    async def wait(
        self, source: str, event_ids: Sequence[str], correlation_id: str | None = None
    ) -> WaitResult:
        """Wait for events by their external ids, and for all events of a correlation.

        Returns early during a pause of the connection in which these events do not change.
        """
        before, since, pause = WaitResult(unfinished=-1), self._clock(), _POLL_SECONDS
        while True:
            now, paused = await in_transaction(
                self._context.engine, lambda c: self._count(c, source, event_ids, correlation_id)
            )
            if not now.unfinished or paused or self._clock() - since > self._stall:
                return now
            if now != before:
                before, since, pause = now, self._clock(), _POLL_SECONDS
            await asyncio.sleep(pause)
            pause = min(_MOST_POLL_SECONDS, pause * 1.5)

    async def _count(
        self,
        db: AsyncConnection,
        source: str,
        event_ids: Sequence[str],
        correlation_id: str | None,
    ) -> tuple[WaitResult, bool]:
        known = await sync_events.by_external_id(db, source, event_ids)
        final = [event.status for event in known.values() if event.status.final]
        unfinished = len(event_ids) - len(final)
        if correlation_id is not None and not unfinished:
            unfinished = await reconcile_runs.count_open(db, source, correlation_id)
        states = await connections.states(db)
        state = states.get(source)
        # A pause stops the calls, which only the events of the correlation may need.
        paused = state is not None and (state.paused if correlation_id else state.holds_inbound)
        return WaitResult(sum(status is SyncStatus.DEAD for status in final), unfinished), paused
