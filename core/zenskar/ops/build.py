"""Builds what works on all of an external system at once."""

from zenskar.bus.port import Bus
from zenskar.ops.resume import HeldDeleteDropper
from zenskar.ops.undelete import Undeleter
from zenskar.schema_catalog import Schema
from zenskar.settings import Settings
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.backfill import Backfiller
from zenskar.sync.reconcile.comparator import Comparator
from zenskar.sync.reconcile.missed_events import MissedEventsPoller
from zenskar.sync.reconcile.publisher import SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, RetryLimits
from zenskar.sync.reconcile.reconciler import Reconciler
from zenskar.sync.reconcile.repair import Repairer
from zenskar.sync.reconcile.wait import EventWaiter
from zenskar.sync.resilience.retry import RetryPolicy

_SETTLE_SECONDS = 3.0
_WAIT_SECONDS = 60.0
_LOOKS, _LOOK_SECONDS = 8, 60.0


class ReconcileParts:
    """A reconciler, a backfiller and a sweep that share their parts."""

    def __init__(
        self, context: SyncContext, bus: Bus, event_schema: Schema, settings: Settings
    ) -> None:
        self._context = context
        self._settings = settings
        self._publisher = SnapshotPublisher(context, bus, event_schema)
        self._reader = self._patient(RetryLimits(self._brief))
        self._accounts = AccountCheck(context)
        self._comparator = Comparator(
            context, self._reader, self._publisher, stale_seconds=settings.resend_seconds
        )

    def entities(self, source: str) -> tuple[str, ...]:
        """Return the entity types that a connection syncs."""
        return self._context.router.owner(source).entities

    def reconciler(
        self, *, settle_seconds: float = _SETTLE_SECONDS, wait_seconds: float = _WAIT_SECONDS
    ) -> Reconciler:
        """Build what finds drift. It waits for workers until nothing moves for `wait_seconds`."""
        waiter = EventWaiter(self._context, wait_seconds)
        repairer = Repairer(self._context, self._publisher, waiter)
        return Reconciler(
            self._context,
            self._accounts,
            self._reader,
            self._comparator,
            repairer,
            settle_seconds,
        )

    def backfiller(self, *, wait_seconds: float = _WAIT_SECONDS) -> Backfiller:
        """Build what takes everything in."""
        waiter = EventWaiter(self._context, wait_seconds)
        return Backfiller(
            self._context, self._accounts, self._reader, self._comparator, self._publisher, waiter
        )

    def dropper(self) -> HeldDeleteDropper:
        """Build what looks at held deletes and drops those that are not so."""
        return HeldDeleteDropper(self._context, self._reader, self._publisher)

    def undeleter(self) -> Undeleter:
        """Build what brings deleted records back."""
        return Undeleter(self._context, self._accounts, self._reader, self._publisher)

    def sweep(self) -> MissedEventsPoller:
        """Build what looks for missed webhooks. It tries once, since it comes again soon."""
        once = RetryPolicy(1, self._settings.retry_base_seconds, self._settings.retry_max_seconds)
        reader = self._patient(RetryLimits(lambda _source: once, rate_limit_waits=0))
        return MissedEventsPoller(
            self._context, reader, self._publisher, every_seconds=self._settings.sweep_seconds
        )

    def _brief(self, source: str) -> RetryPolicy:
        """Somebody waits for it, and a run that stops goes on where it was."""
        retry = self._context.retry(source)
        return RetryPolicy(
            min(retry.max_attempts, _LOOKS),
            retry.base_seconds,
            min(retry.max_seconds, _LOOK_SECONDS),
        )

    def _patient(self, patience: RetryLimits) -> ExternalReader:
        timeout = self._settings.request_timeout_seconds
        return ExternalReader(self._context, patience, timeout_seconds=timeout)
