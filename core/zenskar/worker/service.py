"""Run a worker process: its consumers and its heartbeat."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import workers
from zenskar.db.driver.engine import in_transaction
from zenskar.db.workers import ROLES, WorkerPlace
from zenskar.errors import Unavailable
from zenskar.ids import new_id
from zenskar.telemetry.logs import get_logger
from zenskar.worker.progress import Progress

_BEAT_SECONDS = 5.0
_log = get_logger(__name__)


class Consumer(Protocol):
    """The work of one role."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""


class WorkerService:
    """Runs the consumers of its roles until it is stopped."""

    def __init__(  # noqa: PLR0913 - the composition root builds each part
        self,
        engine: AsyncEngine,
        consumers: Mapping[str, Consumer],
        progress: Progress,
        *,
        roles: Collection[str] = ROLES,
        grace_seconds: float,
        prepare: Callable[[], Awaitable[None]] | None = None,
        report: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> None:
        self._engine = engine
        self._consumers = consumers
        self._progress = progress
        self._roles = tuple(roles)
        self._grace_seconds = grace_seconds
        self._prepare = prepare
        self._report = report
        self._id = new_id()
        self._place = WorkerPlace(socket.gethostname(), version("zenskar"))

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; work past the grace period is cancelled and redelivered.

        Raises `ConfigurationError` when a part can never work with its settings.
        """
        await self._beat_once()
        beat = asyncio.create_task(self._beat(), name="heartbeat")
        await self._make_ready(stopping)
        tasks = [
            asyncio.create_task(consumer.run(stopping), name=role)
            for role, consumer in self._consumers.items()
            if role in self._roles
        ]
        _log.info("worker_started", roles=list(self._roles))
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            stopping.set()
            await self._drain(tasks)
        finally:
            stop.cancel()
            for task in (beat, *tasks):
                task.cancel()
            await asyncio.gather(beat, *tasks, return_exceptions=True)
        with suppress(Unavailable):
            await in_transaction(self._engine, lambda c: workers.leave(c, self._id))
        _log.info("worker_stopped")
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _make_ready(self, stopping: asyncio.Event) -> None:
        """Prepare for the first message, unless `stopping` is set meanwhile."""
        if self._prepare is None:
            return
        ready, stop = asyncio.ensure_future(self._prepare()), asyncio.create_task(stopping.wait())
        await asyncio.wait([ready, stop], return_when=asyncio.FIRST_COMPLETED)
        for task in (ready, stop):
            task.cancel()
        with suppress(asyncio.CancelledError, Unavailable):
            await ready

    async def _drain(self, tasks: list[asyncio.Task[None]]) -> None:
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._grace_seconds)
        if late:
            _log.warning("worker_cut_off", consumers=[task.get_name() for task in late])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            await self._beat_once()

    async def _beat_once(self) -> None:
        problem = "; ".join(self._progress.problems()) or None

        async def beat(db: AsyncConnection) -> None:
            await workers.beat(db, self._id, self._roles, problem, self._place)
            if self._report is not None:
                await self._report(db)

        try:
            await in_transaction(self._engine, beat)
        except Unavailable as error:
            _log.warning("heartbeat_missed", reason=str(error))
