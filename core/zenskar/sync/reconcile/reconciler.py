"""Compare all records with all objects of an external system, and repair the differences.

The first phase reads the whole list and notes suspects. The second fetches mapped objects that
were not in the list by their ids, since a page may have shifted. Drift is what still differs after
a fresh fetch and is not in progress.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import reconcile_runs
from zenskar.db.connections import DELETE_GUARD
from zenskar.db.driver.engine import in_transaction
from zenskar.db.driver.storable import is_indexable
from zenskar.errors import CallFailed, StateConflict
from zenskar.model.missing import Missing
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.checkpoint import Checkpoint, check_ready, close_run, open_run, save_run
from zenskar.sync.reconcile.comparator import Comparator, Findings
from zenskar.sync.reconcile.drift import Drift, Outside, drift_of_object
from zenskar.sync.reconcile.publisher import NotRead
from zenskar.sync.reconcile.reader import ExternalReader, SnapshotPage
from zenskar.sync.reconcile.repair import Repairer
from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, Report, Tally, silent
from zenskar.telemetry.logs import get_logger

T = TypeVar("T")
_LIST, _UNSEEN, _SUSPECTS, _RECORDS, _END = "list", "unseen", "suspects", "records", "end"
_BATCH = 100
OnFindings = Callable[[Findings], None]
_FEW_MISSING, _MOST_PERCENT = 10, 10
"""A repair of more missing objects than both limits has to be forced."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Finds drift and repairs it.

    A change may be in progress for `settle_seconds` before it counts as drift. The report keeps
    this number of `examples` for each kind of drift.
    """

    context: SyncContext
    accounts: AccountCheck
    reader: ExternalReader
    comparator: Comparator
    repairer: Repairer
    settle_seconds: float = 3.0
    examples: int = 5
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(  # noqa: PLR0913 - each option by its name
        self,
        source: str,
        entity_type: str,
        *,
        repair: bool = False,
        missing: Missing | None = None,
        force: bool = False,
        restart: bool = False,
        on_progress: OnProgress = silent,
        on_findings: OnFindings | None = None,
    ) -> Report:
        """Compare everything, or resume a run that stopped within the last day.

        `on_findings` receives all differences, also those that a stopped run has compared.

        A failing external system ends the run with an incomplete report: the next run resumes
        there, and no object counts as deleted. Raises `StateConflict` when a repair would delete
        or recreate too many missing objects without `force`, and the errors of `check_ready`.
        """
        try:
            account = await check_ready(
                self.context,
                self.accounts,
                source,
                entity_type,
                allowed=() if repair else (DELETE_GUARD,),
            )
        except CallFailed as error:
            return Tally().report(source, entity_type, str(error))
        name = f"reconcile:{source}:{entity_type}"
        run = await open_run(self.context.engine, name, _LIST, account, restart=restart)
        reconcile = _ReconcileRun(self, source, entity_type, run, on_progress)
        reconcile.choose(repair=repair, missing=missing, force=force, on_findings=on_findings)
        try:
            await reconcile.execute()
        except CallFailed as error:
            _log.warning("reconcile_stopped", source=source, kind=error.failure.kind.value)
            return reconcile.tally.report(source, entity_type, str(error))
        return await reconcile.end()


class _ReconcileRun:
    """A run in four phases, with a checkpoint after every step."""

    def __init__(
        self,
        reconciler: Reconciler,
        source: str,
        entity_type: str,
        run: Checkpoint,
        on_progress: OnProgress,
    ) -> None:
        self._reconciler = reconciler
        self._about = (source, entity_type)
        self._run = run
        self._on_progress = on_progress
        self._pages: AsyncGenerator[SnapshotPage] | None = None
        self._total: int | None = None
        self._missing: Missing | None = None
        self._force = False
        self._on_findings: OnFindings | None = None
        self.tally = Tally(**run.counts)

    def choose(
        self,
        *,
        repair: bool,
        missing: Missing | None,
        force: bool,
        on_findings: OnFindings | None,
    ) -> None:
        """Set the options. A repair compares the suspects of a run without repair again."""
        more = (repair and not self.tally.repair) or self.tally.missing != missing
        again = more or on_findings is not None
        if again and self._run.phase in {_SUSPECTS, _RECORDS, _END}:
            self._run.phase, self._run.cursor = _SUSPECTS, None
            self.tally.forget_drift()
        self.tally.repair, self.tally.missing = repair, missing
        self._missing, self._force, self._on_findings = missing, force, on_findings

    async def execute(self) -> None:
        """Run the phases that are left."""
        phases = {
            _LIST: self._read_list,
            _UNSEEN: self._fetch_unseen,
            _SUSPECTS: self._compare_suspects,
            _RECORDS: self._find_records,
        }
        while self._run.phase != _END:
            phase, self._total = self._run.phase, None
            while self._run.phase == phase:
                await phases[phase]()

    async def end(self) -> Report:
        """Store and return the result, and delete the checkpoint in the same transaction."""
        report = self.tally.report(*self._about)

        async def store(db: AsyncConnection) -> None:
            await reconcile_runs.save_result(
                db,
                *self._about,
                found=report.found,
                remaining=report.remaining,
                not_read=report.invalid,
            )
            await close_run(db, self._run)

        await in_transaction(self._reconciler.context.engine, store)
        return report

    async def _read_list(self) -> None:
        """Read one page of the list, and note the objects that differ."""
        if self._pages is None:
            self._pages = self._reconciler.reader.pages(*self._about, self._run.cursor)
        page = await anext(self._pages)
        names = [snapshot.seen.external_id for snapshot in page.snapshots]
        comparator = self._reconciler.comparator
        drifts = await comparator.dry_run(*self._about, page.snapshots, drift_of_object)
        listed = {name for name in names if is_indexable(name)}
        self.tally.objects += len(set(names))
        self.tally.add_not_read(each for each in drifts if isinstance(each, NotRead))
        self.tally.outside += sum(isinstance(each, Outside) for each in drifts)
        suspects = [n for n, x in zip(names, drifts, strict=True) if isinstance(x, Drift)]
        await self._step(len(listed), page.next_cursor, _UNSEEN, seen=listed, suspects=suspects)

    async def _fetch_unseen(self) -> None:
        """Fetch objects that were not in the list, since a page may have shifted."""
        run = self._run
        ids = await self._read(
            lambda c: reconcile_runs.unseen(c, run.id, *self._about, run.cursor or "", _BATCH)
        )
        absent = await self._reconciler.comparator.missing(*self._about, ids)
        self.tally.add_not_read(absent.not_read)
        self.tally.deleted += len(absent.deleted)
        self.tally.hidden += len(absent.hidden)
        suspects = (*absent.deleted, *absent.hidden)
        await self._step(len(ids), _last(ids), _SUSPECTS, seen=ids, suspects=suspects)

    async def _compare_suspects(self) -> None:
        """Fetch suspects again, after changes in progress have had time to arrive."""
        run = self._run
        if (self.tally.repair or self._on_findings is not None) and not self._force:
            await self._check_missing()
        if self._total is None:
            self._total = await self._read(lambda c: reconcile_runs.count_suspects(c, run.id))
            await self._reconciler.sleep(self._reconciler.settle_seconds if self._total else 0)
        after = run.cursor or ""
        ids = await self._read(lambda c: reconcile_runs.suspects(c, run.id, after, _BATCH))
        await self._count(
            await self._reconciler.comparator.objects(*self._about, ids), objects=True
        )
        await self._step(len(ids), _last(ids), _RECORDS)

    async def _check_missing(self) -> None:
        """Raise `StateConflict` when the repair concerns too many missing objects.

        So many objects may only seem to be missing, as after a change of credentials.
        """
        touched = self.tally.deleted + (self.tally.hidden if self._missing is not None else 0)
        if not touched:
            return
        linked = await self._read(lambda c: reconcile_runs.count_linked(c, *self._about))
        many = touched > _FEW_MISSING and 100 * touched > _MOST_PERCENT * linked
        if not many and self.tally.objects:
            return
        source, entity_type = self._about
        raise StateConflict(
            f"{touched} of {linked} linked objects of {source} {entity_type} are missing there, "
            f"and {self.tally.objects} objects are listed: nothing is repaired. If it is the right "
            "account and they are meant to go, repeat the command with --force"
        )

    async def _find_records(self) -> None:
        """Find objects for records without a mapping."""
        after = self._run.cursor or reconcile_runs.FIRST_ID
        ids = await self._read(lambda c: reconcile_runs.unmapped(c, *self._about, after, _BATCH))
        await self._count(
            await self._reconciler.comparator.records(*self._about, ids), objects=False
        )
        await self._step(len(ids), _last(ids), _END)

    async def _count(self, findings: Findings, *, objects: bool) -> None:
        """Count differences, after their repair if the run repairs.

        Differences whose repair a stopped run had begun count as found, even if they are gone.
        """
        if self._on_findings is not None:
            self._on_findings(findings)
        begun = {drift.key: drift for drift in self.tally.begun()}
        unfinished = tuple(drift for drift in findings.under_way if drift.key in begun)
        remaining = (*findings.drifts, *unfinished)
        found = (begun | {drift.key: drift for drift in findings.drifts}).values()
        if self.tally.repair and any(d.can_be_repaired(self._missing) for d in findings.drifts):
            await self._save_begun(found)
            await self._reconciler.repairer.repair(*self._about, findings, self._missing)
            names = [d.external_id if objects else d.record_id for d in remaining]
            comparator = self._reconciler.comparator
            compare = comparator.objects if objects else comparator.records
            again = await compare(*self._about, [name for name in names if name is not None])
            # A difference that workers are still removing is not repaired yet.
            remaining = (*again.drifts, *again.under_way)
        self.tally.add(found, remaining, self._reconciler.examples)
        self.tally.under_way += len(findings.under_way) - len(unfinished)
        self.tally.records_outside += findings.outside
        self.tally.add_not_read(findings.not_read)

    async def _save_begun(self, found: Iterable[Drift]) -> None:
        """Save the differences that are about to be repaired: a resumed run cannot find them."""
        self.tally.begin(found)
        self._run.counts = asdict(self.tally)
        await self._read(lambda c: save_run(c, self._run))

    async def _step(
        self,
        done: int,
        cursor: str | None,
        next_phase: str,
        *,
        seen: Collection[str] = (),
        suspects: Sequence[str] = (),
    ) -> None:
        """Write a checkpoint and the ids that were seen in one transaction."""
        run, done = self._run, self.tally.done + done
        self.tally.done = done
        if cursor is None:
            run.phase, self.tally.done = next_phase, 0
        run.cursor, run.counts = cursor, asdict(self.tally)

        async def save(db: AsyncConnection) -> None:
            await save_run(db, run)
            await reconcile_runs.see(db, run.id, seen, suspects)

        await in_transaction(self._reconciler.context.engine, save)
        found = sum(self.tally.found.values())
        self._on_progress(ReconcileProgress(run.phase, done, self._total, found))

    async def _read(self, query: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await in_transaction(self._reconciler.context.engine, query)


def _last(ids: Sequence[str]) -> str | None:
    return ids[-1] if ids else None
