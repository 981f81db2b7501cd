"""`zenskar backfill`: import all objects, or join two systems that are both full by a plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli.bulk_session import (
    LEFT,
    STOPPED,
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

if TYPE_CHECKING:
    from zenskar.ops.factory import OperationFactory
    from zenskar.ops.join.join_plan import JoinPlan
    from zenskar.ops.plan_result import PlanResult
    from zenskar.sync.reconcile.backfill import BackfillCount
    from zenskar.sync.reconcile.report import OnProgress

_KIND = "backfill"
_UNDECIDED = "zenskar dlq list --filter reason=ambiguous_match"
_MEANINGS = {
    "link": "objects that are linked with a record",
    "create_here": "objects that become a record",
    "create_there": "records that become an object",
    "conflict": "links with fields that differ",
    "ambiguous": "groups that a person must decide about",
    "linked": "objects that are linked already",
    "under_way": "records whose create is in progress",
    "not_read": "objects that cannot be read",
    "outside": "objects and records that the filter excludes",
}
_AMBIGUOUS = {"external_ids": "AMBIGUOUS OBJECTS", "record_ids": "RECORDS"}


def backfill(  # noqa: PLR0913, PLR0917 - one for each option
    source: Source,
    entity: Entity = None,
    match: Annotated[
        str | None,
        typer.Option(help="With --plan: the fields by which both sides are the same: email,name"),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Only write a plan to this new file, and show it.")
    ] = None,
    apply: Annotated[
        Path | None, typer.Option(help="Make the steps of the plan in this file, and no other.")
    ] = None,
    restart: Restart = False,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Import every object of an external system that the catalog does not have as it is.

    With --plan and then --apply, join two systems that hold the same people. Exits with 3 when a
    person must decide about objects, or when --apply skips a step. The same command resumes a
    stopped run within a day.
    """
    if match is not None and plan is None:
        raise InvalidInput("--match is for --plan; a connection has the setting MATCH_BY")
    check_options(plan, apply)
    if plan is not None:
        _plan(source, entity, match, plan, output)
    elif apply is not None:
        _apply(source, apply, reason, output)
    else:
        _import(source, entity, reason, output, restart=restart)


def _import(
    source: str, entity: str | None, reason: str | None, output: Output, *, restart: bool
) -> None:
    from zenskar.ops.runs.bulk_work import BulkWork

    by = current_actor(reason)

    async def import_objects(
        factory: "OperationFactory", name: str, on_progress: "OnProgress"
    ) -> "BackfillCount":
        return await BulkWork(factory, by, on_progress).backfill(source, name, restart=restart)

    counts = run_each(source, entity, import_objects, with_worker=True)
    if output is Output.JSON:
        print_json({"data": [count.to_json() for count in counts]})
    else:
        for count in counts:
            print_lines(
                f"{count.source} {count.entity_type}: {count.objects} objects, "
                f"{count.published} imported, {count.dead} failed, {count.invalid} not valid."
            )
            show_outside(count.verdicts.get("outside", 0))
            if undecided := count.verdicts.get("undecided"):
                print_lines(f"{undecided} wait for a decision: {_UNDECIDED}")
            show_not_read(count.not_read)
    fail_if_stopped(counts)
    if any(count.dead or count.invalid for count in counts):
        raise typer.Exit(STOPPED)
    if any(count.verdicts.get("undecided") for count in counts):
        raise typer.Exit(LEFT)


def _plan(source: str, entity: str | None, match: str | None, file: Path, output: Output) -> None:
    from zenskar.ops.runs.bulk_work import BulkWork

    by = current_actor()
    fields = None if match is None else tuple(map(str.strip, match.split(",")))

    async def make(factory: "OperationFactory", name: str, on_progress: "OnProgress") -> "JoinPlan":
        return await BulkWork(factory, by, on_progress).plan_join(source, name, fields)

    plans = run_each(source, entity, make, with_worker=False)
    write_plans(_KIND, source, file, plans, _show_plan, output)


def _apply(source: str, file: Path, reason: str | None, output: Output) -> None:
    from zenskar.ops.join.join_plan import JoinPlan
    from zenskar.ops.runs.bulk_work import BulkWork

    by = current_actor(reason)

    async def apply(
        factory: "OperationFactory", plan: JoinPlan, on_progress: "OnProgress"
    ) -> "PlanResult":
        return await BulkWork(factory, by, on_progress).apply_join(plan)

    apply_plans(_KIND, source, file, JoinPlan.from_json, apply, output)


def _show_plan(plan: "JoinPlan") -> None:
    by = ", ".join(plan.match_by) or "ids alone"
    print_lines(f"{plan.source} {plan.entity_type}, matched by {by}:", "")
    show_counts(plan.counts, _MEANINGS)
    show_sample(plan.steps)
    if plan.ambiguous:
        print_lines("")
        print_table(_AMBIGUOUS, plan.to_json()["ambiguous"][:SAMPLE])
    show_not_read(plan.not_read[:SAMPLE])
