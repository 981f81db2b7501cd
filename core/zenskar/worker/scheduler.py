"""Run periodic jobs, each in one of the workers with this role at a time."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from zenskar.db import connections, outbox, schedules
from zenskar.db.driver.engine import each_alone, in_transaction
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.sync import announcements
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.resilience.circuit_breaker import OUTAGE, CircuitBreaker
from zenskar.worker.jobs import Job
from zenskar.worker.progress import Progress
from zenskar.worker.receive_loop import run_until


class Scheduler:
    """Runs the due jobs."""

    def __init__(
        self,
        context: SyncContext,
        circuit_breaker: CircuitBreaker,
        jobs: Sequence[Job],
        progress: Progress,
        accounts: AccountCheck,
        *,
        probe_seconds: float,
    ) -> None:
        self._context = context
        self._circuit_breaker = circuit_breaker
        self._progress = progress
        self._accounts = accounts
        self._jobs = (
            Job("probe_outages", probe_seconds, self._probe_outages),
            Job("confirm_accounts", probe_seconds, self._confirm_accounts),
            Job("unpark", probe_seconds, self._unpark),
            *jobs,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Run jobs until `stopping` is set; a long job holds up no other."""
        await asyncio.gather(*(self._repeat(job, stopping) for job in self._jobs))

    async def _repeat(self, job: Job, stopping: asyncio.Event) -> None:
        async def turn() -> None:
            await self._run_if_due(job)
            with suppress(TimeoutError):
                async with asyncio.timeout(job.look_seconds or job.every_seconds):
                    await stopping.wait()

        await run_until(stopping, job.name, turn, self._progress)

    async def run_due(self) -> None:
        """Run every due job that no other worker runs."""
        for job in self._jobs:
            await self._run_if_due(job)

    async def _run_if_due(self, job: Job) -> None:
        state = await each_alone(
            self._context.engine, lambda c: schedules.take(c, job.name, job.every_seconds)
        )
        if state is not None:
            await job.run(state)

    async def _confirm_accounts(self, _state: Any) -> None:
        """Confirm the accounts of connections that have not answered before."""
        await self._accounts.confirm_all()

    async def _unpark(self, _state: Any) -> None:
        """Release messages that were parked while their connection was being resumed."""
        sources = sorted(self._context.connections.keys() - self._context.unreadable)
        topics = await in_transaction(self._context.engine, lambda c: outbox.unpark(c, sources))
        for topic in topics:
            self._context.wake(topic)

    async def _probe_outages(self, _state: Any) -> None:
        """Resume a connection after an outage, once its external system answers again."""
        states = await in_transaction(self._context.engine, connections.states)
        self._context.backoff.learn(states)
        for name, state in states.items():
            away = state.paused and state.reason == OUTAGE and name in self._context.connections
            if (
                away
                and not self._context.backoff.left(name)
                and await self._circuit_breaker.healthy(name)
            ):
                await self._resume(name)

    async def _resume(self, name: str) -> None:
        broadcaster = self._context.broadcaster
        await in_transaction(
            self._context.engine, lambda c: announcements.resume(c, broadcaster, name)
        )
        for topic in (OUTBOUND, INBOUND):
            self._context.wake(topic)
