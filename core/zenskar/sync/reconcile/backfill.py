"""Take in all objects of an external system that are not known as they are."""

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
from zenskar.sync.unit_of_work import UnitOfWork
from zenskar.telemetry.logs import get_logger

_LIST = "list"
_log = get_logger(__name__)


@dataclass(slots=True)
class BackfillCount:
    """What a backfill did: objects by what they turned out to be, and what could not be read.

    `not_read` tells why, for the first of each kind.

    Unless `complete`, `problem` says what stopped it, and the next run goes on from there.
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
        """Return it for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Backfiller:
    """Publishes what is news, and waits for the workers page by page."""

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
        """Walk the whole list; go on with a run that stopped within the last day.

        Raises `Unavailable` when no worker takes the events.
        """
        try:
            account = await check_ready(
                self.context, self.accounts, source, entity_type, only_looks=False
            )
        except CallFailed as error:
            return BackfillCount(source, entity_type, problem=str(error))
        name = f"backfill:{source}:{entity_type}"
        run = await open_run(self.context.engine, name, _LIST, account, restart=restart)
        intake = BackfillCount(source, entity_type, **run.counts)
        try:
            await self._walk(run, intake, on_progress)
        except CallFailed as error:
            _log.warning("backfill_stopped", source=source, kind=error.failure.kind.value)
            intake.problem = str(error)
            return intake
        intake.complete = True
        await close_run(self.context.engine, run)
        return intake

    async def _walk(self, run: Checkpoint, intake: BackfillCount, on_progress: OnProgress) -> None:
        while True:
            page = await self.reader.page(intake.source, intake.entity_type, run.cursor)
            await self._take(run, intake, page)
            if page.next_cursor is None:
                break
            run.cursor, run.counts = page.next_cursor, _counts(intake)
            await in_transaction(self.context.engine, lambda c: save_run(c, run))
            on_progress(ReconcileProgress(_LIST, intake.objects, found=intake.published))
        await self._wait(run, intake, (), run.id)
        on_progress(ReconcileProgress(_LIST, intake.objects, intake.objects, intake.published))

    async def _take(self, run: Checkpoint, intake: BackfillCount, page: SnapshotPage) -> None:
        source, entity_type = intake.source, intake.entity_type
        judged = await self.comparator.dry_run(source, entity_type, page.looks, _verdict)
        told = list(zip(page.looks, judged, strict=True))
        news = [look for look, verdict in told if isinstance(verdict, Verdict) and verdict.news]
        published = await self.publisher.publish(source, news, ObservationKind.LIST, run.id)
        await self._wait(run, intake, published.event_ids)
        counted = Counter(v.value for v in judged if isinstance(v, Verdict))
        intake.verdicts = dict(Counter(intake.verdicts) + counted)
        intake.objects += len(page.looks)
        intake.published += len(published.event_ids)
        not_read = [each for each in judged if isinstance(each, NotRead)]
        intake.invalid += add_not_read(intake.not_read, not_read)

    async def _wait(
        self,
        run: Checkpoint,
        intake: BackfillCount,
        event_ids: tuple[str, ...],
        correlation_id: str | None = None,
    ) -> None:
        settled = await self.waiter.settled(intake.source, event_ids, correlation_id)
        intake.dead += settled.dead
        if settled.unfinished:
            raise Unavailable(
                f"{settled.unfinished} events of {run.name} are not worked off: is a worker "
                "running, and the connection active? They stay queued"
            )


def _verdict(work: UnitOfWork, seen: Observation) -> Verdict:
    _, outcome = work.observe(seen)
    return outcome.verdict


def _counts(intake: BackfillCount) -> dict[str, Any]:
    names = ("objects", "published", "invalid", "dead", "verdicts", "not_read")
    return {name: getattr(intake, name) for name in names}
