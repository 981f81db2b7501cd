"""The operations on a whole connection, each with its entry in the audit if it changes anything."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from zenskar.model.actor import Actor
from zenskar.model.missing import Missing
from zenskar.model.operator_action import ActionKind
from zenskar.ops.audit import AuditEntry, recorded
from zenskar.ops.drop_deletes import DroppedDeletes
from zenskar.ops.factory import OperationFactory
from zenskar.ops.join.join_plan import JoinPlan
from zenskar.ops.plan_result import PlanResult
from zenskar.ops.repair.repair_plan import RepairPlan
from zenskar.sync.reconcile.backfill import BackfillCount
from zenskar.sync.reconcile.report import OnProgress, Report, silent


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """The options of a comparison, its repair and its plan; `settle_seconds` as a reconciler has.

    `missing` is the choice for records whose object is missing. `force` repairs although very many
    objects are missing. `restart` forgets the checkpoint of a stopped run.
    """

    missing: Missing | None = None
    force: bool = False
    restart: bool = False
    settle_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class BulkWork:
    """The operations of an operator on a whole connection."""

    factory: OperationFactory
    by: Actor
    on_progress: OnProgress = silent

    async def compare(self, source: str, entity_type: str, options: RepairOptions) -> Report:
        """Compare both sides; raises as `Reconciler.run` does."""
        return await self._reconcile(source, entity_type, options, repair=False)

    async def repair(self, source: str, entity_type: str, options: RepairOptions) -> Report:
        """Compare both sides and repair the differences; raises as `Reconciler.run` does."""
        request = {"missing": options.missing, "force": options.force}
        async with self._audited(ActionKind.REPAIR, source, entity_type, request) as result:
            report = await self._reconcile(source, entity_type, options, repair=True)
            found = sum(report.found.values())
            result.update(found=found, left=report.drifts, **_problem(report.problem))
        return report

    async def plan_repair(
        self, source: str, entity_type: str, options: RepairOptions
    ) -> RepairPlan:
        """Plan the repair; raises as `RepairPlanner.plan` does."""
        planner = self.factory.repair_planner(settle_seconds=options.settle_seconds)
        return await planner.plan(
            source,
            entity_type,
            missing=options.missing,
            force=options.force,
            restart=options.restart,
            on_progress=self.on_progress,
        )

    async def apply_repair(self, plan: RepairPlan) -> PlanResult:
        """Apply a plan; raises as `RepairApplier.apply` does."""
        async with self._applying(ActionKind.APPLY_REPAIR, plan) as result:
            applied = await self.factory.repair_applier().apply(plan, on_progress=self.on_progress)
            result.update(_applied(applied))
        return applied

    async def backfill(self, source: str, entity_type: str, *, restart: bool) -> BackfillCount:
        """Import all objects; raises as `Backfiller.run` does."""
        async with self._audited(ActionKind.BACKFILL, source, entity_type, {}) as result:
            count = await self.factory.backfiller().run(
                source, entity_type, restart=restart, on_progress=self.on_progress
            )
            result.update(objects=count.objects, events=count.published, dead=count.dead)
            result.update(_problem(count.problem))
        return count

    async def plan_join(
        self, source: str, entity_type: str, match_by: tuple[str, ...] | None
    ) -> JoinPlan:
        """Plan a join; raises as `JoinPlanner.plan` does."""
        return await self.factory.join_planner().plan(
            source, entity_type, match_by=match_by, on_progress=self.on_progress
        )

    async def apply_join(self, plan: JoinPlan) -> PlanResult:
        """Apply a plan; raises as `JoinApplier.apply` does."""
        async with self._applying(ActionKind.APPLY_JOIN, plan) as result:
            applied = await self.factory.join_applier().apply(plan, on_progress=self.on_progress)
            result.update(_applied(applied))
        return applied

    async def drop_deletes(
        self, source: str, event_ids: Sequence[str] | None = None
    ) -> DroppedDeletes:
        """Drop held deletes that are not proven; raises as `HeldDeleteDropper.drop` does."""
        dropper = self.factory.held_delete_dropper()
        return await dropper.drop(source, self.by, event_ids)

    async def _reconcile(
        self, source: str, entity_type: str, options: RepairOptions, *, repair: bool
    ) -> Report:
        reconciler = self.factory.reconciler(settle_seconds=options.settle_seconds)
        return await reconciler.run(
            source,
            entity_type,
            repair=repair,
            missing=options.missing,
            force=options.force,
            restart=options.restart,
            on_progress=self.on_progress,
        )

    def _applying(self, kind: ActionKind, plan: RepairPlan | JoinPlan) -> Any:
        request = {"plan": plan.id, "steps": len(plan.steps)}
        return self._audited(kind, plan.source, plan.entity_type, request)

    @asynccontextmanager
    async def _audited(
        self, kind: ActionKind, source: str, entity_type: str, request: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """Write the action around its work, and yield the result to fill."""
        given = {name: value for name, value in request.items() if value}
        entry = AuditEntry(kind, self.by, source, {"entity_type": entity_type} | given)
        async with recorded(self.factory.engine, entry):
            yield entry.result


def _problem(problem: str | None) -> dict[str, Any]:
    return {"problem": problem} if problem else {}


def _applied(result: PlanResult) -> dict[str, Any]:
    counts = asdict(result)
    numbers = {name: counts[name] for name in ("done", "already_done", "queued")}
    return numbers | {"skipped": len(result.skipped)} | _problem(result.problem)
