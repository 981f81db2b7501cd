"""Read from external systems, with retries; no call of this module changes anything."""

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.model.call_limit import Purpose
from zenskar.model.integration import ExternalObject, Page
from zenskar.model.interval import Interval
from zenskar.plugins.invoker import Timing, expected
from zenskar.sync.context import SyncContext
from zenskar.sync.resilience.cursor_walk import CursorWalk
from zenskar.sync.resilience.failures import retry_delay
from zenskar.sync.resilience.rate_limit import HELD
from zenskar.sync.resilience.retry import RetryPolicy

T = TypeVar("T")
_PARALLEL = 8
_POLL_SECONDS, _REFRESH_SECONDS = 2.0, 5.0
_LARGE_HOOKS, _LARGE_FACTOR = {"find"}, 4
"""Hooks that may make many calls of their own get more time than a single call."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An external object as it was at some time within the interval."""

    seen: ExternalObject
    asof: Interval


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """A page of a list of objects, all as they were within one interval."""

    snapshots: tuple[Snapshot, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """The retry policy of a connection, and the number of rate limits to wait for.

    `longest_wait_seconds` is the longest wait for calls within the limits of a connection.
    """

    retry: Callable[[str], RetryPolicy]
    rate_limit_waits: int = 100
    longest_wait_seconds: float = math.inf


class ExternalReader:
    """Makes the reading calls of integrations, each bounded in time.

    Every call raises `CallFailed` when its retries are used up.
    """

    def __init__(
        self,
        context: SyncContext,
        limits: RetryLimits,
        *,
        timeout_seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._context = context
        self._invoker = replace(context.invoker, purpose=Purpose.BACKFILL)
        self._limits = limits
        self._timeout = timeout_seconds
        self._sleep = sleep
        self._refreshed = -math.inf
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret

    async def pages(
        self, source: str, entity_type: str, cursor: str | None
    ) -> AsyncGenerator[SnapshotPage]:
        """Yield the pages of the list of all objects, from the page of a cursor on.

        Raises `CallFailed`, also for a list that leads in a circle.
        """
        walk = CursorWalk(cursor)
        while True:
            page = await self._page(source, entity_type, cursor)
            cursor = page.next_cursor
            if cursor is not None and walk.repeats(cursor):
                text = "list_page of the integration returned a cursor again"
                raise CallFailed(Failure(FailureKind.BUG, text))
            yield page
            if cursor is None:
                return

    async def fetch(self, source: str, entity_type: str, external_id: str) -> Snapshot:
        """Return one object, as deleted only when the external system proves that."""
        seconds = self._seconds("fetch")
        answer = await self._retried(
            source,
            lambda: self._invoker.fetch(source, entity_type, external_id, seconds=seconds),
        )
        return self._snapshot(source, answer.value, answer.timing)

    async def find(self, source: str, entity_type: str, record_id: str) -> Snapshot | None:
        """Return the object that carries a record's id, None when there is none."""
        seconds = self._seconds("find")
        answer = await self._retried(
            source, lambda: self._invoker.find(source, entity_type, record_id, seconds=seconds)
        )
        return None if answer is None else self._snapshot(source, answer.value, answer.timing)

    async def _page(self, source: str, entity_type: str, cursor: str | None) -> SnapshotPage:
        hook = "list_page"
        arguments = {"entity_type": entity_type, "cursor": cursor}
        seconds = self._seconds(hook)
        answer = await self._retried(
            source, lambda: self._invoker.call(source, hook, Page, seconds=seconds, **arguments)
        )
        page = answer.value
        self._context.clocks.note(source, answer.timing, page.answered_at)
        snapshots = tuple(self._snapshot(source, seen, answer.timing) for seen in page.objects)
        return SnapshotPage(snapshots, page.next_cursor)

    def _snapshot(self, source: str, seen: Any, timing: Timing) -> Snapshot:
        shown = expected(seen, ExternalObject)
        return Snapshot(shown, self._context.clocks.date(source, timing, shown.answered_at))

    def _seconds(self, hook: str) -> float:
        return self._timeout * (_LARGE_FACTOR if hook in _LARGE_HOOKS else 1)

    async def _retried(self, source: str, call: Callable[[], Awaitable[T]]) -> T:
        attempts = waits = 0
        while True:
            await self._wait_for_backoff(source)
            try:
                return await call()
            except CallFailed as error:
                held = error.failure.code == HELD
                limited = error.failure.kind is FailureKind.RATE_LIMITED
                waits, attempts = waits + (limited and not held), attempts + (not limited)
                if limited and not held:
                    await self._hold_back(source, error.failure)
                delay = self._delay(source, error.failure, attempts, waits)
                if delay is None:
                    raise
            if delay:
                await self._sleep(delay)

    async def _wait_for_backoff(self, source: str) -> None:
        """Wait while calls are held back. Raises `CallFailed` when the limits allow no wait."""
        backoff = self._context.backoff
        await self._refresh_backoff()
        while (held := backoff.held(source)) is not None:
            if not self._waits(held):
                raise CallFailed(held)
            await self._sleep(min(backoff.wait(source), _POLL_SECONDS))
            await self._refresh_backoff()

    async def _refresh_backoff(self) -> None:
        """Read the holds of other processes: periodically, and always while a hold is in force."""
        now = time.monotonic()
        if now - self._refreshed >= _REFRESH_SECONDS or self._context.backoff.any_held():
            self._refreshed = now
            states = await in_transaction(self._context.engine, connections.states)
            self._context.backoff.learn(states)

    async def _hold_back(self, source: str, failure: Failure) -> None:
        await in_transaction(
            self._context.engine, lambda c: self._context.hold_back(c, source, failure)
        )

    def _waits(self, held: Failure) -> bool:
        """Return whether to wait for a call that is held back."""
        left = held.retry_after or 0.0
        return self._limits.rate_limit_waits > 0 and left <= self._limits.longest_wait_seconds

    def _delay(self, source: str, failure: Failure, attempts: int, waits: int) -> float | None:
        """Return the seconds before the next attempt, None when there is no further attempt."""
        if failure.code == HELD:
            left = failure.retry_after or 0.0
            return min(left, _POLL_SECONDS) if self._waits(failure) else None
        if failure.kind is FailureKind.RATE_LIMITED:
            return 0.0 if waits <= self._limits.rate_limit_waits else None
        return retry_delay(failure, attempts, self._limits.retry(source), self._rng)


async def together(calls: Iterable[Awaitable[T]]) -> list[T | CallFailed]:
    """Run calls concurrently, a few at a time; return the result or the failure of each."""
    queue = asyncio.Semaphore(_PARALLEL)

    async def one(call: Awaitable[T]) -> T | CallFailed:
        async with queue:
            try:
                return await call
            except CallFailed as error:
                return error

    return await asyncio.gather(*(one(call) for call in calls))
