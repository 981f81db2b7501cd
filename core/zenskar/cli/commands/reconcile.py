"""`zenskar reconcile`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli.bulk_session import (
    LEFT,
    Entity,
    Restart,
    Source,
    fail_if_stopped,
    run_each,
    show_not_read,
    show_outside,
)
from zenskar.cli.plans import (
    SAMPLE,
    apply_plans,
    check_options,
    show_counts,
    show_sample,
    write_plans,
)
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor
from zenskar.errors import InvalidInput
from zenskar.model.missing import Missing

if TYPE_CHECKING:
    from zenskar.ops.factory import OperationFactory
    from zenskar.ops.plan_result import PlanResult
    from zenskar.ops.repair.repair_plan import RepairPlan
    from zenskar.ops.runs.bulk_work import RepairOptions
    from zenskar.sync.reconcile.report import OnProgress, Report

_KIND = "reconcile"
_MEANINGS = {
    "create_here": "objects that become a record",
    "create_there": "records that become an object",
    "link": "objects that are linked with a record",
    "merge": "records and objects that are made equal",
    "delete_here": "records that are deleted, since their object is missing",
    "delete_there": "objects that are deleted, since their record is",
    "restore_here": "records that are undeleted with their object",
    "follow_merge": "records whose object was merged into another one",
    "left": "differences without a repair",
    "under_way": "differences that workers are about to remove",
    "not_read": "objects that cannot be read",
    "outside": "records and objects that the filter excludes",
}
_FIELDS = {"field": "FIELD", "fate": "EFFECT", "count": "COUNT"}
_LEFT = {"kind": "LEFT", "external_id": "EXTERNAL", "record_id": "RECORD", "fields": "FIELDS"}
_EXAMPLES = {
    "kind": "DIFFERENCE",
    "external_id": "EXTERNAL",
    "record_id": "RECORD",
    "fields": "FIELDS",
    "repaired": "REPAIRED",
}


def reconcile(  # noqa: PLR0913, PLR0917 - one for each option
    source: Source,
    entity: Entity = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair the differences.")] = False,
    missing: Annotated[
        Missing | None,
        typer.Option(help="With --repair: the action for records whose object is missing."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Repair although very many objects are missing.")
    ] = False,
    restart: Restart = False,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds that a change in progress may take to arrive.")
    ] = 3.0,
    plan: Annotated[
        Path | None,
        typer.Option(help="Only write a plan of the repairs to this new file, and show it."),
    ] = None,
    apply: Annotated[
        Path | None, typer.Option(help="Make the repairs of the plan in this file, and no other.")
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(help="With --plan: a profile that the connection does not have yet."),
    ] = None,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare all records with an external system, and report the differences.

    Exits with 3 when there are differences, or with --repair when some remain, and when an object
    could not be read. With --plan, exits with 3 when some differences have no repair, and with
    --apply when a step is skipped. The same command resumes a stopped run within a day.
    """
    check_options(plan, apply)
    if repair and (plan is not None or apply is not None):
        raise InvalidInput("give --repair, --plan or --apply, not two of them")
    if missing is not None and not repair and plan is None:
        raise InvalidInput("--missing says how to repair: give --repair or --plan too")
    if profile is not None and plan is None:
        raise InvalidInput("--profile is for --plan; a connection has the setting PROFILE")
    from zenskar.ops.runs.bulk_work import RepairOptions

    options = RepairOptions(missing, force, restart, settle)
    if plan is not None:
        _plan(source, entity, options, plan, profile, output)
    elif apply is not None:
        _apply(source, apply, reason, output)
    else:
        _compare(source, entity, options, reason, output, repair=repair)


def _compare(
    source: str,
    entity: str | None,
    options: "RepairOptions",
    reason: str | None,
    output: Output,
    *,
    repair: bool,
) -> None:
    from zenskar.ops.runs.bulk_work import BulkWork

    by = current_actor(reason)

    async def compare(
        factory: "OperationFactory", name: str, on_progress: "OnProgress"
    ) -> "Report":
        work = BulkWork(factory, by, on_progress)
        run = work.repair if repair else work.compare
        return await run(source, name, options)

    reports = run_each(source, entity, compare, with_worker=repair)
    if output is Output.JSON:
        print_json({"data": [report.to_json() for report in reports]})
    else:
        for report in reports:
            _show(report)
    fail_if_stopped(reports)
    if not all(report.clean for report in reports):
        raise typer.Exit(LEFT)


def _plan(
    source: str,
    entity: str | None,
    options: "RepairOptions",
    file: Path,
    profile: Path | None,
    output: Output,
) -> None:
    from zenskar.ops.runs.bulk_work import BulkWork
    from zenskar.plugins.connection_settings import PROFILE, variable

    by = current_actor()

    async def make(
        factory: "OperationFactory", name: str, on_progress: "OnProgress"
    ) -> "RepairPlan":
        return await BulkWork(factory, by, on_progress).plan_repair(source, name, options)

    variables = {} if profile is None else {variable(source, PROFILE): str(profile)}
    plans = run_each(source, entity, make, with_worker=False, variables=variables)
    write_plans(_KIND, source, file, plans, _show_plan, output)


def _apply(source: str, file: Path, reason: str | None, output: Output) -> None:
    from zenskar.ops.repair.repair_plan import RepairPlan
    from zenskar.ops.runs.bulk_work import BulkWork

    by = current_actor(reason)

    async def apply(
        factory: "OperationFactory", plan: RepairPlan, on_progress: "OnProgress"
    ) -> "PlanResult":
        return await BulkWork(factory, by, on_progress).apply_repair(plan)

    apply_plans(_KIND, source, file, RepairPlan.from_json, apply, output)


def _show_plan(plan: "RepairPlan") -> None:
    print_lines(f"{plan.source} {plan.entity_type}, {plan.objects} objects:", "")
    show_counts(plan.counts, _MEANINGS)
    fields = [
        {"field": path[1:], "fate": fate, "count": count}
        for path, counts in plan.fields.items()
        for fate, count in counts.items()
    ]
    if fields:
        print_lines("")
        print_table(_FIELDS, fields)
    show_sample(plan.steps)
    if plan.left:
        print_lines("")
        print_table(_LEFT, plan.left[:SAMPLE])
    show_not_read(plan.not_read[:SAMPLE])


def _show(report: "Report") -> None:
    found, left = sum(report.found.values()), report.drifts
    print_lines(
        f"{report.source} {report.entity_type}: {report.objects} objects, {found} differences, "
        f"{left} left, {report.under_way} under way, {report.invalid} not valid."
    )
    show_outside(report.outside)
    if report.found:
        kinds = [
            {"kind": kind, "found": count, "left": report.remaining.get(kind, 0)}
            for kind, count in sorted(report.found.items())
        ]
        print_table({"kind": "DIFFERENCE", "found": "FOUND", "left": "LEFT"}, kinds)
        print_lines("", "Examples")
    if report.examples:
        print_table(_EXAMPLES, report.to_json()["examples"])
    show_not_read(report.to_json()["not_read"])
