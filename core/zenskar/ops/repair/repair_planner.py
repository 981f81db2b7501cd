"""Plan the repair of a connection by a reconcile run that changes neither side."""

from dataclasses import asdict, dataclass, field
from typing import Any

from zenskar.errors import Unavailable
from zenskar.ids import new_id
from zenskar.model.missing import Missing
from zenskar.ops.plan_file import digest_of
from zenskar.ops.repair.repair_plan import RepairPlan, RepairStep
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.reconcile.comparator import Findings
from zenskar.sync.reconcile.drift import Drift
from zenskar.sync.reconcile.reconciler import Reconciler
from zenskar.sync.reconcile.report import OnProgress, silent


@dataclass(slots=True)
class _Collection:
    """The differences that a run has found so far, by object or record."""

    plan_id: str
    missing: Missing | None
    steps: dict[str | None, RepairStep] = field(default_factory=dict)
    left: dict[str | None, dict[str, Any]] = field(default_factory=dict)
    linked: set[str | None] = field(default_factory=set)
    """The records of the steps."""

    def add(self, findings: Findings) -> None:
        """Add the differences of a comparison.

        The object of a planned link is still unlinked when its record is compared.
        """
        for drift in findings.drifts:
            if drift.external_id is None and drift.record_id in self.linked:
                continue
            step = step_of(self.plan_id, drift, findings, self.missing)
            if step is not None:
                self.steps[drift.key] = step
                self.linked.add(drift.record_id)
            else:
                self.left[drift.key] = _stay(drift)


@dataclass(frozen=True, slots=True)
class RepairPlanner:
    """Plans the steps that `Reconciler` would make with repair."""

    reconciler: Reconciler
    accounts: AccountCheck

    async def plan(
        self,
        source: str,
        entity_type: str,
        *,
        missing: Missing | None = None,
        force: bool = False,
        restart: bool = False,
        on_progress: OnProgress = silent,
    ) -> RepairPlan:
        """Return the plan, with the options of a repair.

        Raises `Unavailable` when the external system fails, and the errors of `Reconciler.run`.
        """
        found = _Collection(new_id(), missing)
        report = await self.reconciler.run(
            source,
            entity_type,
            missing=missing,
            force=force,
            restart=restart,
            on_progress=on_progress,
            on_findings=found.add,
        )
        if report.problem is not None:
            raise Unavailable(f"{source} {entity_type} cannot be planned: {report.problem}")
        return RepairPlan(
            found.plan_id,
            source,
            entity_type,
            self.accounts.of(source),
            missing,
            self.reconciler.context.connections[source].profile_digest,
            report.objects,
            tuple(found.steps.values()),
            tuple(found.left.values()),
            report.under_way,
            report.invalid,
            tuple(asdict(each) for each in report.not_read),
            report.outside,
        )


def step_of(
    plan_id: str, drift: Drift, findings: Findings, missing: Missing | None
) -> RepairStep | None:
    """Return the step that repairs a difference, None without a repair."""
    action = drift.repair(missing)
    if action is None:
        return None
    seen = findings.seen.get(drift.external_id or "")
    return RepairStep(
        action,
        drift.external_id,
        drift.record_id,
        drift.record_version,
        None if seen is None else digest_of(plan_id, seen),
        drift.fates,
    )


def _stay(drift: Drift) -> dict[str, Any]:
    return {
        "kind": drift.kind.value,
        "external_id": drift.external_id,
        "record_id": drift.record_id,
        "fields": drift.fields,
    }
