"""`zenskar backfill`: import all objects, or join two systems that are both full by a plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli.commands.reconcile import (
    LEFT,
    STOPPED,
    Entity,
    Restart,
    Source,
    fail_if_stopped,
    run_each,
    run_with_progress,
    show_not_read,
    with_factory,
)
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from zenskar.ops.factory import OperationFactory
    from zenskar.ops.join.applier import JoinResult
    from zenskar.ops.join.join_plan import JoinPlan
    from zenskar.sync.reconcile.backfill import BackfillCount
    from zenskar.sync.reconcile.report import OnProgress

_KIND = "backfill"
_SAMPLE = 5
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
}
_COUNTS = {"kind": "PLANNED", "count": "COUNT", "means": "MEANS"}
_STEPS = {"kind": "STEP", "external_id": "EXTERNAL", "record_id": "RECORD", "fields": "FIELDS"}
_AMBIGUOUS = {"external_ids": "AMBIGUOUS OBJECTS", "record_ids": "RECORDS"}
_SKIPPED = {"kind": "SKIPPED", "external_id": "EXTERNAL", "record_id": "RECORD", "why": "WHY"}


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
    output: OutputOption = Output.TABLE,
) -> None:
    """Import every object of an external system that the catalog does not have as it is.

    With --plan and then --apply, join two systems that hold the same people. Exits with 3 when a
    person must decide about objects, or when --apply skips a step. The same command resumes a
    stopped run within a day.
    """
    if match is not None and plan is None:
        raise InvalidInput("--match is for --plan; a connection has the setting MATCH_BY")
    if plan is not None and apply is not None:
        raise InvalidInput("give --plan or --apply, not both")
    if plan is not None:
        _plan(source, entity, match, plan, output)
    elif apply is not None:
        _apply(source, apply, output)
    else:
        _import(source, entity, output, restart=restart)


def _import(source: str, entity: str | None, output: Output, *, restart: bool) -> None:
    async def import_objects(
        factory: "OperationFactory", name: str, on_progress: "OnProgress"
    ) -> "BackfillCount":
        return await factory.backfiller().run(
            source, name, restart=restart, on_progress=on_progress
        )

    counts = run_each(source, entity, import_objects, with_worker=True)
    if output is Output.JSON:
        print_json({"data": [count.to_json() for count in counts]})
    else:
        for count in counts:
            print_lines(
                f"{count.source} {count.entity_type}: {count.objects} objects, "
                f"{count.published} imported, {count.dead} failed, {count.invalid} not valid."
            )
            if undecided := count.verdicts.get("undecided"):
                print_lines(f"{undecided} wait for a decision: {_UNDECIDED}")
            show_not_read(count.not_read)
    fail_if_stopped(counts)
    if any(count.dead or count.invalid for count in counts):
        raise typer.Exit(STOPPED)
    if any(count.verdicts.get("undecided") for count in counts):
        raise typer.Exit(LEFT)


def _plan(source: str, entity: str | None, match: str | None, file: Path, output: Output) -> None:
    from zenskar.ops.plan_file import check_new, write_plan

    check_new(file)
    fields = None if match is None else tuple(map(str.strip, match.split(",")))

    async def make(factory: "OperationFactory", name: str, on_progress: "OnProgress") -> "JoinPlan":
        return await factory.join_planner().plan(
            source, name, match_by=fields, on_progress=on_progress
        )

    plans = run_each(source, entity, make, with_worker=False)
    write_plan(file, _KIND, [plan.to_json() for plan in plans])
    if output is Output.JSON:
        print_json({"data": [plan.to_json() for plan in plans]})
    else:
        for plan in plans:
            _show_plan(plan)
        print_lines("", f"Nothing was changed. Apply it: zenskar backfill {source} --apply {file}")
    if not all(plan.certain for plan in plans):
        raise typer.Exit(LEFT)


def _apply(source: str, file: Path, output: Output) -> None:
    from zenskar.ops.join.join_plan import JoinPlan
    from zenskar.ops.plan_file import read_plan

    plans = {p.entity_type: p for p in map(JoinPlan.from_json, read_plan(file, _KIND))}
    if wrong := {plan.source for plan in plans.values()} - {source}:
        raise InvalidInput(f"the plan is for {', '.join(sorted(wrong))}")

    async def make(
        factory: "OperationFactory", name: str, on_progress: "OnProgress"
    ) -> "JoinResult":
        return await factory.join_applier().apply(plans[name], on_progress=on_progress)

    results = with_factory(
        lambda factory: run_with_progress(factory, plans, make), with_worker=True
    )
    if output is Output.JSON:
        print_json({"data": [result.to_json() for result in results]})
    else:
        for result in results:
            _show_result(result)
    fail_if_stopped(results)
    if any(result.skipped for result in results):
        raise typer.Exit(LEFT)


def _show_plan(plan: "JoinPlan") -> None:
    by = ", ".join(plan.match_by) or "ids alone"
    print_lines(f"{plan.source} {plan.entity_type}, matched by {by}:", "")
    counts = [
        {"kind": kind, "count": count, "means": _MEANINGS[kind]}
        for kind, count in plan.counts.items()
    ]
    print_table(_COUNTS, counts)
    sample = _sample(plan)
    if sample:
        print_lines("", "Examples")
        print_table(_STEPS, sample)
    if plan.ambiguous:
        print_lines("")
        print_table(_AMBIGUOUS, plan.to_json()["ambiguous"][:_SAMPLE])
    show_not_read(plan.not_read[:_SAMPLE])


def _sample(plan: "JoinPlan") -> Sequence[dict[str, object]]:
    """Return the first steps of each kind, those with conflicts first."""
    rows: list[dict[str, object]] = []
    for kind in dict.fromkeys(step.kind for step in plan.steps):
        steps = [step for step in plan.steps if step.kind is kind]
        steps.sort(key=lambda step: not step.conflicts)
        rows += [
            {
                "kind": kind.value,
                "external_id": step.external_id,
                "record_id": step.record_id,
                "fields": [f"{path[1:]}: {fate.value}" for path, fate in step.fields.items()],
            }
            for step in steps[:_SAMPLE]
        ]
    return rows


def _show_result(result: "JoinResult") -> None:
    print_lines(
        f"{result.source} {result.entity_type}: {result.steps} steps, {result.done} done, "
        f"{result.already_done} done before, {result.queued} queued until the connection is "
        f"resumed, {len(result.skipped)} skipped."
    )
    if result.skipped:
        print_lines("")
        print_table(_SKIPPED, result.to_json()["skipped"])
