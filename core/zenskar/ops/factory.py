"""Build the operations that read a whole external system."""

import math
from contextlib import nullcontext

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.bus.port import Bus
from zenskar.errors import StateConflict
from zenskar.model.fields import CUSTOMER
from zenskar.ops.checks.check_connections import OpenConnections
from zenskar.ops.checks.checkup import Checkup
from zenskar.ops.checks.profile_trial import ProfileTrial
from zenskar.ops.drop_deletes import HeldDeleteDropper
from zenskar.ops.erase import Eraser
from zenskar.ops.join.applier import JoinApplier
from zenskar.ops.join.join_planner import JoinPlanner
from zenskar.ops.link import ObjectLinker
from zenskar.ops.prompt import Prompter
from zenskar.ops.recover import RecordDeleter, Recovery
from zenskar.ops.repair.repair_applier import RepairApplier
from zenskar.ops.repair.repair_planner import RepairPlanner
from zenskar.ops.state.bus_messages import BusMessages
from zenskar.ops.undelete import Undeleter
from zenskar.plugins.inventory import PluginInventory
from zenskar.schema_catalog import Schema, core_schemas
from zenskar.settings import Settings
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.polling.poller import FeedPoller
from zenskar.sync.reconcile.backfill import Backfiller
from zenskar.sync.reconcile.comparator import Comparator
from zenskar.sync.reconcile.publisher import SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, RetryLimits
from zenskar.sync.reconcile.reconcile_job import ReconcileJob
from zenskar.sync.reconcile.reconciler import Reconciler
from zenskar.sync.reconcile.repair import Repairer
from zenskar.sync.reconcile.wait import EventWaiter
from zenskar.sync.resilience.retry import RetryPolicy

_SETTLE_SECONDS = 3.0
_WAIT_SECONDS = 60.0
_READ_ATTEMPTS, _READ_RETRY_SECONDS = 8, 60.0
_STEP_SHARE = 1 / 3
"""The share of a request's time for each step of a recovery that may take long."""


class OperationFactory:
    """Builds the operations on external systems, which share one reader and one publisher.

    An operation ends when the limits of a connection demand a wait of more than
    `longest_wait_seconds`, and resumes at its checkpoint when it is started again.
    """

    def __init__(
        self,
        context: SyncContext,
        bus: Bus,
        event_schema: Schema,
        settings: Settings,
        *,
        inventory: PluginInventory,
        longest_wait_seconds: float = math.inf,
    ) -> None:
        self._context = context
        self._settings = settings
        self._bus = bus
        self._event_schema = event_schema
        self._inventory = inventory
        self._publisher = SnapshotPublisher(context, bus, event_schema)
        limits = RetryLimits(self._interactive_retry, longest_wait_seconds=longest_wait_seconds)
        self._reader = self._build_reader(limits)
        self._accounts = AccountCheck(context)
        self._comparator = Comparator(
            context, self._reader, self._publisher, stale_seconds=settings.resend_seconds
        )

    @property
    def engine(self) -> AsyncEngine:
        """The database."""
        return self._context.engine

    def entities(self, source: str) -> tuple[str, ...]:
        """Return the entity types that a connection syncs."""
        return self._context.router.owner(source).entities

    def reconciler(
        self, *, settle_seconds: float = _SETTLE_SECONDS, wait_seconds: float = _WAIT_SECONDS
    ) -> Reconciler:
        """Build the reconciler.

        A reconcile run waits for workers until no event has changed for `wait_seconds`.
        """
        return Reconciler(
            self._context,
            self._accounts,
            self._reader,
            self._comparator,
            self._repairer(wait_seconds),
            settle_seconds,
        )

    def repair_planner(self, *, settle_seconds: float = _SETTLE_SECONDS) -> RepairPlanner:
        """Build the planner of repairs."""
        return RepairPlanner(self.reconciler(settle_seconds=settle_seconds), self._accounts)

    def repair_applier(self, *, wait_seconds: float = _WAIT_SECONDS) -> RepairApplier:
        """Build the applier of repair plans; `wait_seconds` as for a reconciler."""
        repairer = self._repairer(wait_seconds)
        return RepairApplier(self._context, self._accounts, self._comparator, repairer)

    def backfiller(self, *, wait_seconds: float = _WAIT_SECONDS) -> Backfiller:
        """Build the backfiller; `wait_seconds` as for a reconciler."""
        waiter = EventWaiter(self._context, wait_seconds)
        return Backfiller(
            self._context, self._accounts, self._reader, self._comparator, self._publisher, waiter
        )

    def held_delete_dropper(self) -> HeldDeleteDropper:
        """Build the dropper of held deletes."""
        return HeldDeleteDropper(self._context, self._reader, self._publisher)

    def eraser(self) -> Eraser:
        """Build the eraser of customers."""
        context = self._context
        owners = context.router.owners_of(CUSTOMER.entity_type)
        return Eraser(context.engine, owners, context.wake, context.broadcaster)

    def undeleter(self) -> Undeleter:
        """Build the undeleter."""
        return Undeleter(self._context, self._accounts, self._reader, self._publisher)

    def object_linker(self, *, wait_seconds: float = _WAIT_SECONDS) -> ObjectLinker:
        """Build the linker of objects; `wait_seconds` as for a reconciler."""
        return ObjectLinker(
            self._context,
            self._accounts,
            self._reader,
            self._comparator,
            self._publisher,
            EventWaiter(self._context, wait_seconds),
        )

    def join_planner(self) -> JoinPlanner:
        """Build the planner of joins."""
        return JoinPlanner(self._context, self._accounts, self._reader, self._publisher)

    def join_applier(self, *, wait_seconds: float = _WAIT_SECONDS) -> JoinApplier:
        """Build the applier of join plans; `wait_seconds` as for a reconciler."""
        waiter = EventWaiter(self._context, wait_seconds)
        return JoinApplier(self._context, self._accounts, self._reader, self._publisher, waiter)

    def prompter(self) -> Prompter:
        """Build the prompter, which requests work on a connection or a record now."""
        seconds = self._settings.request_timeout_seconds
        return Prompter(self._context, timeout_seconds=seconds)

    def inventory(self) -> PluginInventory:
        """Return the installed plugins, with the problems of their connections now."""
        return self._inventory.with_problems(self._opened().problems_of_plugins)

    def checkup(self) -> Checkup:
        """Build the checkup of this process: its connections, its database and its bus."""
        return Checkup(
            self._settings,
            self._inventory,
            lambda: nullcontext(self._opened()),
            lambda: nullcontext(self._context.engine),
            needs_keys=self._settings.auth == "required",
        )

    def profile_trial(self, source: str) -> ProfileTrial:
        """Build the trial of a connection's profile.

        Raises `NotFound` for an unknown connection, `StateConflict` for one that is off.
        """
        self._context.router.owner(source)
        connection = self._context.connections[source]
        if connection.problem:
            raise StateConflict(f"connection {source} is off: {connection.problem}")
        return ProfileTrial(connection, core_schemas())

    def bus_messages(self) -> BusMessages:
        """Build the reader of the bus, which dead-letters messages too."""
        return BusMessages(self._context, self._bus, self._event_schema)

    def recovery(self, delete: RecordDeleter, *, in_request: bool = False) -> Recovery:
        """Build the recovery of a restored database; in a request, its steps end in time."""
        seconds = self._settings.request_timeout_seconds * _STEP_SHARE if in_request else None
        return Recovery(self._context.engine, self._bus, delete, seconds)

    def feed_poller(self) -> FeedPoller:
        """Build the poller of feeds; a loss in a feed requests a reconcile."""
        return FeedPoller(
            self._context,
            self._bus,
            self._event_schema,
            on_loss=ReconcileJob.request,
            timeout_seconds=self._settings.request_timeout_seconds,
        )

    def _opened(self) -> OpenConnections:
        context = self._context
        off = context.router.off
        return OpenConnections(context.connections, context.router, context.invoker, off)

    def _repairer(self, wait_seconds: float) -> Repairer:
        waiter = EventWaiter(self._context, wait_seconds)
        return Repairer(self._context, self._publisher, waiter)

    def _interactive_retry(self, source: str) -> RetryPolicy:
        """Bound the retries: a person waits, and a stopped run resumes at its checkpoint."""
        retry = self._context.retry(source)
        return RetryPolicy(
            min(retry.max_attempts, _READ_ATTEMPTS),
            retry.base_seconds,
            min(retry.max_seconds, _READ_RETRY_SECONDS),
        )

    def _build_reader(self, limits: RetryLimits) -> ExternalReader:
        timeout = self._settings.request_timeout_seconds
        return ExternalReader(self._context, limits, timeout_seconds=timeout)
