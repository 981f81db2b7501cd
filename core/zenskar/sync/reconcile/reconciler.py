"""Compare all records with all objects of an external system, and mend what differs.

First the whole list is walked, and whatever does not fit is noted. What was not in a complete
list is then asked for by its id, since a page may have shifted. Only what still differs in a
fresh look, and what nobody works on, is drift.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import reconcile_runs
from zenskar.db.driver.engine import in_transaction
from zenskar.db.driver.storable import is_indexable
from zenskar.errors import CallFailed, StateConflict
from zenskar.model.missing import Missing
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.checkpoint import Checkpoint, check_ready, close_run, open_run, save_run
from zenskar.sync.reconcile.comparator import Comparator, Findings
from zenskar.sync.reconcile.drift import Drift, judge
from zenskar.sync.reconcile.publisher import NotRead
from zenskar.sync.reconcile.reader import ExternalReader
from zenskar.sync.reconcile.repair import Repairer
from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, Report, Tally, silent
from zenskar.telemetry.logs import get_logger

T = TypeVar("T")
_LIST, _UNSEEN, _SUSPECTS, _RECORDS, _END = "list", "unseen", "suspects", "records", "end"
_BATCH = 100
_FEW_MISSING, _MOST_PERCENT = 10, 10
"""A repair does nothing about more missing objects than both of these, unless it is forced."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Finds drift and mends it.

    A change may be under way for `settle_seconds` before it counts as drift; of each kind of
    drift so many `examples` are kept.
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
    ) -> Report:
        """Compare everything; go on with a run that stopped within the last day.

        A failing external system ends the run with an incomplete report. How far it came is kept
        for the next one, and nothing is taken for deleted. Raises `Conflict` instead of a repair
        that would do something about too many missing objects, unless it is told to by `force`.
        """
        try:
            account = await check_ready(
                self.context, self.accounts, source, entity_type, only_looks=not repair
            )
        except CallFailed as error:
            return Tally().report(source, entity_type, str(error))
        name = f"reconcile:{source}:{entity_type}"
        run = await open_run(self.context.engine, name, _LIST, account, restart=restart)
        comparison = _Comparison(self, source, entity_type, run, on_progress)
        comparison.choose(repair=repair, missing=missing, force=force)
        try:
            await comparison.work_off()
        except CallFailed as error:
            _log.warning("reconcile_stopped", source=source, kind=error.failure.kind.value)
            return comparison.tally.report(source, entity_type, str(error))
        await close_run(self.context.engine, run)
        return comparison.tally.report(source, entity_type)


class _Comparison:
    """One run of a reconciler: four phases, with a checkpoint after every step."""

    def __init__(
        self,
        tools: Reconciler,
        source: str,
        entity_type: str,
        run: Checkpoint,
        on_progress: OnProgress,
    ) -> None:
        self._tools = tools
        self._about = (source, entity_type)
        self._run = run
        self._on_progress = on_progress
        self._total: int | None = None
        self._missing: Missing | None = None
        self._force = False
        self.tally = Tally(**run.counts)

    def choose(self, *, repair: bool, missing: Missing | None, force: bool) -> None:
        """Say whether to mend; what an earlier run only counted is then looked at once more."""
        more = (repair and not self.tally.repair) or self.tally.missing != missing
        if more and self._run.phase in {_SUSPECTS, _RECORDS}:
            self._run.phase, self._run.cursor = _SUSPECTS, None
            self.tally.forget_drift()
        self.tally.repair, self.tally.missing = repair, missing
        self._missing, self._force = missing, force

    async def work_off(self) -> None:
        """Go through the phases that are left."""
        phases = {
            _LIST: self._list,
            _UNSEEN: self._unseen,
            _SUSPECTS: self._suspects,
            _RECORDS: self._records,
        }
        while self._run.phase != _END:
            phase, self._total = self._run.phase, None
            while self._run.phase == phase:
                await phases[phase]()

    async def _list(self) -> None:
        """Read one page of the list."""
        page = await self._tools.reader.page(*self._about, self._run.cursor)
        names = [look.seen.external_id for look in page.looks]
        judged = await self._tools.comparator.dry_run(*self._about, page.looks, judge)
        listed = {name for name in names if is_indexable(name)}
        self.tally.objects += len(set(names))
        self.tally.add_not_read(each for each in judged if isinstance(each, NotRead))
        suspects = [n for n, x in zip(names, judged, strict=True) if isinstance(x, Drift)]
        await self._step(len(listed), page.next_cursor, _UNSEEN, seen=listed, suspects=suspects)

    async def _unseen(self) -> None:
        """Ask for what was not in the list: a page may have shifted. Only what is gone is news."""
        run = self._run
        ids = await self._read(
            lambda c: reconcile_runs.unseen(c, run.id, *self._about, run.cursor or "", _BATCH)
        )
        absent = await self._tools.comparator.missing(*self._about, ids)
        self.tally.add_not_read(absent.not_read)
        self.tally.deleted += len(absent.deleted)
        self.tally.hidden += len(absent.hidden)
        suspects = (*absent.deleted, *absent.hidden)
        await self._step(len(ids), _last(ids), _SUSPECTS, seen=ids, suspects=suspects)

    async def _suspects(self) -> None:
        """Look again at what did not fit, once what was under way has had time to arrive."""
        run = self._run
        if self.tally.repair and not self._force:
            await self._check_missing()
        if self._total is None:
            self._total = await self._read(lambda c: reconcile_runs.count_suspects(c, run.id))
            await self._tools.sleep(self._tools.settle_seconds if self._total else 0)
        after = run.cursor or ""
        ids = await self._read(lambda c: reconcile_runs.suspects(c, run.id, after, _BATCH))
        await self._take(await self._tools.comparator.objects(*self._about, ids), objects=True)
        await self._step(len(ids), _last(ids), _RECORDS)

    async def _check_missing(self) -> None:
        """Stop before a repair that would delete or make anew what only seems to be missing."""
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

    async def _records(self) -> None:
        """Look for the objects of records that have none."""
        after = self._run.cursor or reconcile_runs.FIRST_ID
        ids = await self._read(lambda c: reconcile_runs.unmapped(c, *self._about, after, _BATCH))
        await self._take(await self._tools.comparator.records(*self._about, ids), objects=False)
        await self._step(len(ids), _last(ids), _END)

    async def _take(self, findings: Findings, *, objects: bool) -> None:
        """Count differences, after mending them if that is asked for.

        What a stopped run had begun to mend was found as well, though it may be gone by now.
        """
        begun = {drift.key: drift for drift in self.tally.begun()}
        unfinished = tuple(drift for drift in findings.under_way if drift.key in begun)
        remaining = (*findings.drifts, *unfinished)
        found = (begun | {drift.key: drift for drift in findings.drifts}).values()
        if self.tally.repair and any(d.can_be_mended(self._missing) for d in findings.drifts):
            await self._begin(found)
            await self._tools.repairer.mend(*self._about, findings, self._missing)
            names = [d.external_id if objects else d.record_id for d in remaining]
            look = self._tools.comparator.objects if objects else self._tools.comparator.records
            again = await look(*self._about, [name for name in names if name is not None])
            # What is still being worked on is not mended yet.
            remaining = (*again.drifts, *again.under_way)
        self.tally.add(found, remaining, self._tools.examples)
        self.tally.under_way += len(findings.under_way) - len(unfinished)
        self.tally.add_not_read(findings.not_read)

    async def _begin(self, found: Iterable[Drift]) -> None:
        """Write down what is about to be mended, since a run that goes on cannot see it."""
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
        """Write a checkpoint together with what was seen, so that a crash loses neither."""
        run, done = self._run, self.tally.done + done
        self.tally.done = done
        if cursor is None:
            run.phase, self.tally.done = next_phase, 0
        run.cursor, run.counts = cursor, asdict(self.tally)

        async def save(db: AsyncConnection) -> None:
            await save_run(db, run)
            await reconcile_runs.see(db, run.id, seen, suspects)

        await in_transaction(self._tools.context.engine, save)
        found = sum(self.tally.found.values())
        self._on_progress(ReconcileProgress(run.phase, done, self._total, found))

    async def _read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await in_transaction(self._tools.context.engine, work)


def _last(ids: Sequence[str]) -> str | None:
    return ids[-1] if ids else None
