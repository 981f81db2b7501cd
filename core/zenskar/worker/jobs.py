"""The periodic jobs: those that call external systems, and those that repair lost messages."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from zenskar.bus.port import Bus
from zenskar.db import polls
from zenskar.ops.erase import Eraser
from zenskar.ops.factory import OperationFactory
from zenskar.ops.runs import run_requests
from zenskar.ops.runs.run_job import RunJob
from zenskar.ops.state.table_growth import TableSizeRecorder
from zenskar.settings import Settings
from zenskar.sync.context import SyncContext
from zenskar.sync.maintenance.catch_up import CatchUp
from zenskar.sync.maintenance.resend import Resender
from zenskar.sync.maintenance.retention import retentions
from zenskar.sync.outbound.lost_pushes import LostPushes
from zenskar.sync.outbound.orphaned import Unowned
from zenskar.sync.reconcile.log_losses import LogLossDetector
from zenskar.sync.reconcile.reconcile_job import ReconcileJob

_WATCH_SECONDS = 10.0
_SOON_SECONDS, _RUN_LOOK_SECONDS = 5.0, 2.0
_OFTEN_SECONDS, _SOMETIMES_SECONDS = 15.0, 60.0
_HOUR, _DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic job; `run` receives the state that the last run stored.

    A worker checks every `look_seconds` whether the job is due, as a rule as often as it is due.
    """

    name: str
    every_seconds: float
    run: Callable[[Any], Awaitable[None]]
    look_seconds: float | None = None


def upkeep(
    context: SyncContext, bus: Bus, factory: OperationFactory, settings: Settings
) -> tuple[Job, ...]:
    """Return the jobs of every connection and the jobs about messages."""

    async def behind() -> Mapping[str, int]:
        waiting: Counter[str] = Counter()
        for (topic, _), there in (await bus.log() or {}).items():
            waiting[topic] += there.behind
        return waiting

    poller = factory.feed_poller()
    catch_up = CatchUp(context)
    reconcile = ReconcileJob(context, factory.reconciler())
    resender = Resender(context, behind, age_seconds=settings.resend_seconds)
    owners = tuple(context.connections)
    eraser = Eraser(context.engine, owners, context.wake, context.broadcaster)
    often = min(_OFTEN_SECONDS, settings.resend_seconds)
    feeds = (
        Job(
            polls.schedule(source),
            connection.poll_seconds,
            partial(poller.run, source),
            min(connection.poll_seconds, _SOON_SECONDS),
        )
        for source, connection in context.connections.items()
        if context.router.implements(source, "changes")
    )
    run_job = RunJob(factory)
    each = (
        (
            Job(
                run_requests.schedule(source),
                _OFTEN_SECONDS,
                partial(run_job.run, source),
                _RUN_LOOK_SECONDS,
            ),
            Job(
                reconcile.schedule(source),
                _OFTEN_SECONDS,
                partial(reconcile.run, source),
                _SOON_SECONDS,
            ),
            Job(catch_up.schedule(source), _SOMETIMES_SECONDS, partial(catch_up.run, source)),
        )
        for source in context.connections
    )
    return (
        Job(LogLossDetector.NAME, _WATCH_SECONDS, LogLossDetector(context, bus.log).run),
        Job(Resender.NAME, often, resender.run),
        Job(Unowned.NAME, _HOUR, Unowned(context, age_seconds=settings.unowned_days * _DAY).run),
        Job(LostPushes.NAME, settings.probe_seconds, LostPushes(context).run),
        Job(TableSizeRecorder.NAME, _DAY, TableSizeRecorder(context.engine).run, _HOUR),
        Job("erase_late", _HOUR, eraser.erase_late),
        Job("erase_purged", settings.probe_seconds, eraser.erase_purged),
        *(Job(r.schedule, _HOUR, r.run) for r in retentions(context.engine, settings)),
        *feeds,
        *(job for some in each for job in some),
    )
