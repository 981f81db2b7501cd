"""Poll feeds: the events of a call are durable before its checkpoint is stored."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Bus
from zenskar.db import connections, polls, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.db.driver.storable import is_storable
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.ids import new_id
from zenskar.model.integration import Changes, Health, WebhookEvent
from zenskar.plugins.invoker import Answer
from zenskar.schema_catalog import Schema
from zenskar.sync import announcements
from zenskar.sync.context import SyncContext
from zenskar.sync.event_publisher import EventPublisher
from zenskar.sync.polling.feed_events import FeedReader
from zenskar.sync.resilience.cursor_walk import CursorWalk
from zenskar.sync.resilience.failures import retry_delay
from zenskar.sync.resilience.rate_limit import HELD
from zenskar.sync.unreadable import dead_letter_unread
from zenskar.telemetry.logs import get_logger

_LARGE_FACTOR = 4
"""The hook may make many calls of its own, so it gets more time than a single call."""
_SPARE_SECONDS = 60.0
"""The time to publish the events of a call, before another process polls the connection."""
_AGAIN_SECONDS = 15.0
"""The longest delay of a poll of a connection that was paused or held back."""
_MOST_CHARACTERS = 100_000
_log = get_logger(__name__)

OnLoss = Callable[[AsyncConnection, str], Awaitable[None]]
"""Requests a reconcile of a connection, in a transaction."""


class FeedPoller:
    """Reads the feeds of connections; one process at a time reads a feed."""

    def __init__(
        self,
        context: SyncContext,
        bus: Bus,
        event_schema: Schema,
        *,
        on_loss: OnLoss,
        timeout_seconds: float,
    ) -> None:
        self._context = context
        self._reader = FeedReader(context, event_schema)
        self._publisher = EventPublisher(context, bus)
        self._on_loss = on_loss
        self._timeout = timeout_seconds * _LARGE_FACTOR
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret

    async def run(self, source: str, state: Mapping[str, Any]) -> None:
        """Read a feed to its end; `state` holds the checkpoint to start from.

        After a failure the next poll continues at the last stored checkpoint.
        """
        if await self._is_held(source):
            await self._postpone(source)
            return
        await self._hold(source, self._lease_seconds)
        try:
            ended = await self._read(source, state.get("checkpoint"))
        except CallFailed as error:
            await self._failed(source, error.failure, int(state.get("failures") or 0) + 1)
            return
        if ended:
            every = self._context.connections[source].poll_seconds
            await self._store(lambda c: polls.end(c, source, next_in=every))

    async def _read(self, source: str, checkpoint: str | None) -> bool:
        """Read the rest of a feed; return whether its end was reached.

        A pause of the connection ends the poll, and so does another process that continues it.
        """
        run_id, more, found, walk = new_id(), True, 0, CursorWalk(checkpoint)
        while more:
            answer = await self._call(source, checkpoint, walk)
            found += await self._publish(source, answer, run_id)
            await self._context.failpoint("poll.published")
            if not await self._advance(source, checkpoint, answer.value):
                return False
            checkpoint, more = answer.value.checkpoint, answer.value.more
            if more and await self._is_held(source):
                await self._postpone(source)
                return False
        if found:
            _log.info("feed_read", source=source, events=found)
        return True

    async def _call(self, source: str, checkpoint: str | None, walk: CursorWalk) -> Answer[Changes]:
        if (held := self._context.backoff.held(source)) is not None:
            raise CallFailed(held)
        answer = await self._context.invoker.call(
            source, "changes", Changes, seconds=self._timeout, checkpoint=checkpoint
        )
        _check(answer.value, walk)
        self._context.backoff.succeeded(source)
        self._context.clocks.note(source, answer.timing, answer.value.answered_at)
        return answer

    async def _publish(self, source: str, answer: Answer[Changes], run_id: str) -> int:
        """Make events durable; an unreadable event becomes a dead letter. Raises `Unavailable`."""
        part = self._reader.read(source, answer, run_id)
        await self._publisher.publish([item.made for item in part.items])
        for unread in part.unread:
            await dead_letter_unread(self._context, unread)
        return len(part.items) + len(part.unread)

    async def _advance(self, source: str, before: str | None, changes: Changes) -> bool:
        async def advance(db: AsyncConnection) -> bool:
            seconds = self._lease_seconds
            moved = await polls.advance(
                db, source, before, changes.checkpoint, held_seconds=seconds
            )
            if moved and changes.lost:
                await self._on_loss(db, source)
            return moved

        moved = await in_transaction(self._context.engine, advance)
        if moved and changes.lost:
            _log.warning("feed_lost", source=source)
        return moved

    async def _failed(self, source: str, failure: Failure, failures: int) -> None:
        """Store a failure; the next poll is due after a pause, at most the usual time."""
        _log.warning("poll_failed", source=source, kind=failure.kind.value, error=failure.message)
        connection = self._context.connections[source]
        retry = self._context.retry(source)
        delay = retry_delay(failure, min(failures, retry.max_attempts - 1), retry, self._rng)
        refused = failure.kind is FailureKind.CREDENTIALS and not await self._is_healthy(source)

        async def store(db: AsyncConnection) -> None:
            await connections.note_error(db, source, failure.kind, failure.message)
            if refused:
                await self._pause(db, source, failure)
            seconds = min(connection.poll_seconds, delay or connection.poll_seconds)
            if failure.code == HELD:
                left = max(self._context.backoff.wait(source), failure.retry_after or 0.0)
                seconds = min(connection.poll_seconds, left)
            elif failure.kind is FailureKind.RATE_LIMITED:
                left = await self._context.hold_back(db, source, failure)
                seconds = min(connection.poll_seconds, left)
            await polls.fail(db, source, failures, next_in=seconds)

        await self._store(store)

    async def _is_healthy(self, source: str) -> bool:
        """Return whether other calls are allowed: credentials may be valid without the feed."""
        seconds = self._timeout / _LARGE_FACTOR
        try:
            answer = await self._context.invoker.call(source, "health", Health, seconds=seconds)
        except CallFailed as error:
            return error.failure.kind is not FailureKind.CREDENTIALS
        return answer.value.ok

    async def _pause(self, db: AsyncConnection, source: str, failure: Failure) -> None:
        kind = failure.kind.value
        broadcaster = self._context.broadcaster
        why = {"error_kind": kind, "error_message": failure.message}
        await announcements.pause(db, broadcaster, source, kind, **why)

    async def _is_held(self, source: str) -> bool:
        states = await in_transaction(self._context.engine, connections.states)
        self._context.backoff.learn(states)
        held = self._context.backoff.left(source) > 0
        return held or (source in states and states[source].paused)

    @property
    def _lease_seconds(self) -> float:
        return self._timeout + _SPARE_SECONDS

    async def _postpone(self, source: str) -> None:
        """Make the poll of a paused or delayed connection due soon."""
        every = self._context.connections[source].poll_seconds
        await self._hold(source, min(every, _AGAIN_SECONDS))

    async def _hold(self, source: str, seconds: float) -> None:
        await self._store(lambda c: schedules.hold(c, polls.schedule(source), seconds))

    async def _store(self, write: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        await in_transaction(self._context.engine, write)


def _check(changes: Changes, walk: CursorWalk) -> None:
    """Raise `CallFailed` for a result that cannot be continued."""
    after: Any = changes.checkpoint
    problem = None
    events: Any = changes.events
    bodies: Any = changes.bodies
    known = isinstance(events, Sequence) and all(isinstance(e, WebhookEvent) for e in events)
    if not known:
        problem = "no sequence of WebhookEvent"
    elif not isinstance(bodies, Sequence) or isinstance(bodies, (str, bytes)):
        problem = "no sequence of bodies"
    elif not isinstance(after, str) or len(after) > _MOST_CHARACTERS or not is_storable(after):
        problem = "a checkpoint that cannot be stored"
    elif changes.more and walk.repeats(after):
        problem = "`more` with a checkpoint again"
    if problem is not None:
        text = f"changes of the integration returned {problem}"
        raise CallFailed(Failure(FailureKind.BUG, text))
