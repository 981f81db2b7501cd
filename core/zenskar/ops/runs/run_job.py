"""Carry out the requested runs of a connection, one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import orjson

from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators import runs
from zenskar.db.operators.runs import OperatorRun
from zenskar.errors import StateConflict, Unavailable, ZenskarError
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.missing import Missing
from zenskar.model.operator_run import RunKind, RunState
from zenskar.ops.factory import OperationFactory
from zenskar.ops.join.join_plan import JoinPlan
from zenskar.ops.repair.repair_plan import RepairPlan
from zenskar.ops.runs import run_requests
from zenskar.ops.runs.bulk_work import BulkWork, RepairOptions
from zenskar.ops.runs.run_requests import MOST_PLAN_BYTES
from zenskar.sync.reconcile.report import ReconcileProgress
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace

_LEASE_SECONDS = 30.0
_EXAMPLES = 20
_log = get_logger(__name__)


class RunOutcome(NamedTuple):
    """The result of a run, its plan as JSON text, and the problem that has ended it early."""

    result: Mapping[str, Any]
    plan: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RunJob:
    """Claims the runs of a connection. A run whose worker died is resumed at its checkpoint.

    The progress is written every `beat_seconds`; `settle_seconds` as a reconciler has.
    """

    factory: OperationFactory
    beat_seconds: float = 1.0
    settle_seconds: float = 3.0

    async def run(self, source: str, _state: Any = None) -> None:
        """Carry out every run of a connection that waits."""
        while True:
            owner = new_id()
            claim = partial(runs.claim, source=source, owner=owner, lease_seconds=_LEASE_SECONDS)
            claimed = await in_transaction(self.factory.engine, claim)
            if claimed is None:
                return
            await _ClaimedRun(self, claimed, owner).carry_out()


class _ClaimedRun:
    """A run with its owner, its latest progress, and the work that may be cancelled."""

    def __init__(self, job: RunJob, run: OperatorRun, owner: str) -> None:
        self._job = job
        self._run = run
        self._owner = owner
        self._progress: Mapping[str, Any] = run.progress

    async def carry_out(self) -> None:
        """Do the work, and store its end; a cancelled worker leaves the run to another worker."""
        if self._run.state == RunState.STOPPING:
            await self._end(RunState.STOPPED, RunOutcome({}))
            return
        work = asyncio.create_task(self._work(), name=f"run {self._run.kind}")
        try:
            await self._watch(work)
        except asyncio.CancelledError:
            await _cancel(work)
            await self._write(lambda c: runs.release(c, self._run.id, self._owner))
            raise
        except Unavailable:
            # The lease ends, and the next claim resumes the run.
            await _cancel(work)
            raise
        await self._store(work)

    async def _watch(self, work: asyncio.Task[RunOutcome]) -> None:
        """Store the progress until the work ends; cancel the work after a request to stop."""
        while True:
            done, _ = await asyncio.wait([work], timeout=self._job.beat_seconds)
            if done:
                return
            state = await self._write(
                lambda c: runs.beat(c, self._run.id, self._owner, self._progress, _LEASE_SECONDS)
            )
            if state != RunState.RUNNING:
                await _cancel(work)

    async def _store(self, work: asyncio.Task[RunOutcome]) -> None:
        if work.cancelled():
            await self._end(RunState.STOPPED, RunOutcome({}))
            return
        error = work.exception()
        if error is None:
            outcome = work.result()
            await self._end(RunState.FAILED if outcome.problem else RunState.DONE, outcome)
            return
        if not isinstance(error, ZenskarError):
            _log.error("run_failed", run=self._run.id, kind=self._run.kind, trace=trace(error))
        problem = str(error) if isinstance(error, ZenskarError) else type(error).__name__
        await self._end(RunState.FAILED, RunOutcome({}, problem=problem))

    async def _end(self, state: RunState, outcome: RunOutcome) -> None:
        _log.info("run_ended", run=self._run.id, source=self._run.source_system, state=state.value)
        await self._write(
            lambda c: runs.end(
                c,
                self._run.id,
                self._owner,
                state.value,
                result=outcome.result,
                plan=outcome.plan,
                problem=outcome.problem,
            )
        )

    async def _write(self, write: Callable[[Any], Awaitable[Any]]) -> Any:
        return await in_transaction(self._job.factory.engine, write)

    def _note(self, progress: ReconcileProgress) -> None:
        self._progress = asdict(progress)

    async def _work(self) -> RunOutcome:
        """Do the work of the run's kind."""
        run, given = self._run, self._run.options
        by = Actor(run.by, run.place, run.reason)
        work = BulkWork(self._job.factory, by, self._note)
        about = run.source_system, run.entity_type
        missing = given.get("missing")
        options = RepairOptions(
            Missing(missing) if missing else None,
            bool(given.get("force")),
            bool(given.get("restart")),
            self._job.settle_seconds,
        )
        made: Any
        match RunKind(run.kind):
            case RunKind.COMPARE:
                made = await work.compare(*about, options)
            case RunKind.REPAIR:
                made = await work.repair(*about, options)
            case RunKind.PLAN_REPAIR:
                made = await work.plan_repair(*about, options)
            case RunKind.APPLY_REPAIR:
                made = await work.apply_repair(RepairPlan.from_json(await self._plan()))
            case RunKind.BACKFILL:
                made = await work.backfill(*about, restart=options.restart)
            case RunKind.PLAN_JOIN:
                fields = given.get("match_by")
                made = await work.plan_join(*about, fields and tuple(fields))
            case RunKind.APPLY_JOIN:
                made = await work.apply_join(JoinPlan.from_json(await self._plan()))
            case RunKind.DROP_DELETES:
                made = await work.drop_deletes(run.source_system, given.get("event_ids"))
        return _outcome(made)

    async def _plan(self) -> Mapping[str, Any]:
        plan_of = self._run.plan_of or ""
        plan: Mapping[str, Any] = await self._write(lambda c: run_requests.read_plan(c, plan_of))
        return plan


async def _cancel(work: asyncio.Task[RunOutcome]) -> None:
    work.cancel()
    with suppress(Exception, asyncio.CancelledError):
        await work


def _outcome(made: Any) -> RunOutcome:
    """Return the outcome of a plan or of a result, whose lists are bounded."""
    if isinstance(made, RepairPlan | JoinPlan):
        return _planned(made)
    body = asdict(made)
    problem: str | None = body.pop("problem", None)
    result = {
        name: value[:_EXAMPLES] if isinstance(value, list | tuple) else value
        for name, value in body.items()
    }
    return RunOutcome(result, problem=problem)


def _planned(plan: RepairPlan | JoinPlan) -> RunOutcome:
    """Return the counts of a plan, with the plan as text. Raises `StateConflict` if too large."""
    body = plan.to_json()
    text = orjson.dumps(body).decode()
    if len(text) > MOST_PLAN_BYTES:
        raise StateConflict(
            f"the plan has {len(plan.steps)} steps, too many for the database: make it on the "
            "command line with --plan"
        )
    examples = body["steps"][:_EXAMPLES]
    result = {"counts": plan.counts, "certain": plan.certain, "examples": examples}
    return RunOutcome(result | {"steps": len(plan.steps)}, text)
