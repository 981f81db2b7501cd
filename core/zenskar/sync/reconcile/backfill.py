"""Import all objects of an external system that the catalog does not hold as they are."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, Unavailable
from zenskar.kernel import Verdict
from zenskar.model.observation import Observation, ObservationKind
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.checkpoint import Checkpoint, check_ready, close_run, open_run, save_run
from zenskar.sync.reconcile.comparator import Comparator
from zenskar.sync.reconcile.publisher import NotRead, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, SnapshotPage
from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, add_not_read, silent
from zenskar.sync.reconcile.wait import EventWaiter
from zenskar.sync.work.unit_of_work import UnitOfWork
from zenskar.telemetry.logs import get_logger

_LIST = "list"
_log = get_logger(__name__)


@dataclass(slots=True)
class BackfillCount:
    """The result of a backfill: objects by verdict, and objects that could not be read.

    `not_read` holds the reasons for the first objects of each kind. Unless `complete`, `problem`
    says why the run stopped, and the next run resumes there.
    """

    source: str
    entity_type: str
    objects: int = 0
    published: int = 0
    invalid: int = 0
    dead: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    not_read: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Backfiller:
    """Publishes objects that change a record, and waits for the workers after every page."""

    context: SyncContext
    accounts: AccountCheck
    reader: ExternalReader
    comparator: Comparator
    publisher: SnapshotPublisher
    waiter: EventWaiter

    async def run(
        self,
        source: str,
        entity_type: str,
        *,
        restart: bool = False,
        on_progress: OnProgress = silent,
    ) -> BackfillCount:
        """Read the whole list, or resume a run that stopped within the last day.

        A failing external system ends the run with an incomplete count. Raises `Unavailable` when
        no worker processes the events, and the errors of `check_ready`.
        """
        try:
            account = await check_ready(self.context, self.accounts, source, entity_type)
        except CallFailed as error:
            return BackfillCount(source, entity_type, problem=str(error))
        name = f"backfill:{source}:{entity_type}"
        run = await open_run(self.context.engine, name, _LIST, account, restart=restart)
        count = BackfillCount(source, entity_type, **run.counts)
        try:
            await self._walk(run, count, on_progress)
        except CallFailed as error:
            _log.warning("backfill_stopped", source=source, kind=error.failure.kind.value)
            count.problem = str(error)
            return count
        count.complete = True
        await in_transaction(self.context.engine, lambda c: close_run(c, run))
        return count

    async def _walk(self, run: Checkpoint, count: BackfillCount, on_progress: OnProgress) -> None:
        async for page in self.reader.pages(count.source, count.entity_type, run.cursor):
            await self._publish_page(run, count, page)
            if page.next_cursor is not None:
                run.cursor, run.counts = page.next_cursor, _counts(count)
                await in_transaction(self.context.engine, lambda c: save_run(c, run))
                on_progress(ReconcileProgress(_LIST, count.objects, found=count.published))
        await self._wait(run, count, (), run.id)
        on_progress(ReconcileProgress(_LIST, count.objects, count.objects, count.published))

    async def _publish_page(
        self, run: Checkpoint, count: BackfillCount, page: SnapshotPage
    ) -> None:
        source, entity_type = count.source, count.entity_type
        verdicts = await self.comparator.dry_run(source, entity_type, page.snapshots, _verdict)
        changing = [
            snapshot
            for snapshot, verdict in zip(page.snapshots, verdicts, strict=True)
            if isinstance(verdict, Verdict) and verdict.changes_state
        ]
        published = await self.publisher.publish(source, changing, ObservationKind.LIST, run.id)
        await self._wait(run, count, published.event_ids)
        counted = Counter(v.value for v in verdicts if isinstance(v, Verdict))
        count.verdicts = dict(Counter(count.verdicts) + counted)
        count.objects += len(page.snapshots)
        count.published += len(published.event_ids)
        not_read = [each for each in verdicts if isinstance(each, NotRead)]
        count.invalid += add_not_read(count.not_read, not_read)

    async def _wait(
        self,
        run: Checkpoint,
        count: BackfillCount,
        event_ids: tuple[str, ...],
        correlation_id: str | None = None,
    ) -> None:
        result = await self.waiter.wait(count.source, event_ids, correlation_id)
        count.dead += result.dead
        if result.unfinished:
            raise Unavailable(
                f"{result.unfinished} events of {run.name} are not processed: is a worker "
                "running, and the connection active? They stay queued"
            )


def _verdict(work: UnitOfWork, seen: Observation) -> Verdict:
    _, outcome = work.observe(seen)
    return outcome.verdict


def _counts(count: BackfillCount) -> dict[str, Any]:
    names = ("objects", "published", "invalid", "dead", "verdicts", "not_read")
    return {name: getattr(count, name) for name in names}
