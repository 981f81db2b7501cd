"""Apply the plan of a repair: every step first checks that both sides are as planned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from zenskar.errors import CallFailed, StateConflict
from zenskar.ops.plan_result import PlanResult
from zenskar.ops.repair.repair_plan import RepairPlan, RepairStep
from zenskar.ops.repair.repair_planner import step_of
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.checkpoint import check_ready
from zenskar.sync.reconcile.comparator import Comparator, Findings
from zenskar.sync.reconcile.drift import Drift
from zenskar.sync.reconcile.repair import Repairer
from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, silent

_BATCH = 50


@dataclass(frozen=True, slots=True)
class RepairApplier:
    """Makes the steps of a plan, a batch at a time. A repeated run skips the steps that are done.

    Every batch is compared as by a reconcile run, and repaired as by one.
    """

    context: SyncContext
    accounts: AccountCheck
    comparator: Comparator
    repairer: Repairer

    async def apply(self, plan: RepairPlan, *, on_progress: OnProgress = silent) -> PlanResult:
        """Make all steps whose objects and records are as planned.

        A failing external system ends the run with a problem. Raises `StateConflict` when the
        connection has another account or another profile than the plan, `Unavailable` when the bus
        or the database is, and the errors of `check_ready`.
        """
        result = PlanResult(plan.source, plan.entity_type, len(plan.steps))
        try:
            account = await check_ready(self.context, self.accounts, plan.source, plan.entity_type)
            if account != plan.account:
                raise StateConflict(f"the plan was made for another account of {plan.source}")
            if self.context.connections[plan.source].profile_digest != plan.profile:
                raise StateConflict(
                    f"the plan was made for another profile of {plan.source}: configure the "
                    "planned profile and restart all processes, or make the plan again"
                )
            done = 0
            for steps in _batches(plan):
                await _RepairBatch(self, plan, steps, result).apply()
                done += len(steps)
                found = len(result.skipped)
                on_progress(ReconcileProgress("apply", done, result.steps, found))
        except CallFailed as error:
            result.problem = str(error)
        return result


@dataclass(frozen=True, slots=True)
class _RepairBatch:
    """Some steps of a plan, which are all about objects, or all about records without one."""

    applier: RepairApplier
    plan: RepairPlan
    steps: Sequence[RepairStep]
    result: PlanResult

    async def apply(self) -> None:
        """Compare, repair what is as planned, and compare again."""
        findings = await self._compare(self.steps)
        ready = dict(self._check(findings))
        if not ready:
            return
        steps = [step for step in self.steps if _name(step) in ready]
        planned = replace(findings, drifts=tuple(ready.values()))
        about = self.plan.source, self.plan.entity_type
        await self.applier.repairer.repair(*about, planned, self.plan.missing)
        again = await self._compare(steps)
        open_names = {self._name(drift) for drift in (*again.drifts, *again.under_way)}
        for step in steps:
            if _name(step) in open_names:
                self._skip(step, "it was not applied: see `zenskar events list`")
            else:
                self.result.done += 1

    async def _compare(self, steps: Sequence[RepairStep]) -> Findings:
        comparator = self.applier.comparator
        compare = comparator.objects if self._about_objects else comparator.records
        names = [_name(step) for step in steps]
        return await compare(self.plan.source, self.plan.entity_type, names)

    def _check(self, findings: Findings) -> Iterator[tuple[str, Drift]]:
        """Yield the differences that are as planned, by name; skip the steps of the others."""
        drifts = {self._name(drift): drift for drift in findings.drifts}
        moving = {self._name(drift) for drift in findings.under_way}
        unread = {each.external_id or each.record_id: each.why for each in findings.not_read}
        for step in self.steps:
            name = _name(step)
            if name in unread:
                self._skip(step, f"the object cannot be read: {unread[name]}")
            elif name in moving:
                self._skip(step, "a change is in progress")
            elif name not in drifts:
                self.result.already_done += 1
            elif (why := self._find_change(step, drifts[name], findings)) is not None:
                self._skip(step, why)
            else:
                yield name, drifts[name]

    def _find_change(self, step: RepairStep, drift: Drift, findings: Findings) -> str | None:
        """Return the change since the plan that prevents a step, None without one."""
        now = step_of(self.plan.id, drift, findings, self.plan.missing)
        if now is None:
            return "the difference has no repair any more"
        if now.digest != step.digest or now.external_id != step.external_id:
            return "the object was changed"
        if (now.record_id, now.record_version) != (step.record_id, step.record_version):
            return "the record was changed"
        if now.kind is not step.kind:
            return f"the repair is now {now.kind.value}"
        same = dict(now.fields) == dict(step.fields)
        return None if same else "the settings decide otherwise about its fields"

    def _skip(self, step: RepairStep, why: str) -> None:
        self.result.skip(step.kind.value, step.external_id, step.record_id, why)

    @property
    def _about_objects(self) -> bool:
        return self.steps[0].external_id is not None

    def _name(self, drift: Drift) -> str | None:
        return drift.external_id if self._about_objects else drift.record_id


def _batches(plan: RepairPlan) -> Iterator[Sequence[RepairStep]]:
    """Yield the steps of objects before those of records without one, as a reconcile run does."""
    objects = [step for step in plan.steps if step.external_id is not None]
    records = [step for step in plan.steps if step.external_id is None]
    for steps in (objects, records):
        for start in range(0, len(steps), _BATCH):
            yield steps[start : start + _BATCH]


def _name(step: RepairStep) -> str:
    return step.external_id or step.record_id or ""
