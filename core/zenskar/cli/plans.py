"""Write, show and apply the plans of commands on a whole external system."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from zenskar.cli.bulk_session import (
    LEFT,
    fail_if_stopped,
    run_with_progress,
    with_factory,
)
from zenskar.cli.render.output import Output, print_json, print_lines, print_table
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from zenskar.ops.factory import OperationFactory
    from zenskar.ops.plan_result import PlanResult
    from zenskar.sync.reconcile.field_fate import FieldFate
    from zenskar.sync.reconcile.report import OnProgress

SAMPLE, _MOST_EXAMPLES = 5, 20
_COUNTS = {"kind": "PLANNED", "count": "COUNT", "means": "MEANS"}
_STEPS = {"kind": "STEP", "external_id": "EXTERNAL", "record_id": "RECORD", "fields": "FIELDS"}
_SKIPPED = {"kind": "SKIPPED", "external_id": "EXTERNAL", "record_id": "RECORD", "why": "WHY"}


class BulkStep(Protocol):
    """A step of a plan, with its effect on the fields."""

    @property
    def kind(self) -> str:
        """The kind of step."""

    @property
    def external_id(self) -> str | None:
        """The object, None without one."""

    @property
    def record_id(self) -> str | None:
        """The record, None without one."""

    @property
    def fields(self) -> "Mapping[str, FieldFate]":
        """The effect by field."""


class BulkPlan(Protocol):
    """A plan for an entity type at a connection."""

    @property
    def source(self) -> str:
        """The connection."""

    @property
    def entity_type(self) -> str:
        """The entity type."""

    @property
    def counts(self) -> dict[str, int]:
        """The number of steps by kind, and of the rest."""

    @property
    def certain(self) -> bool:
        """Whether nothing is left for a person."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""


P = TypeVar("P", bound=BulkPlan)


def check_options(plan: Path | None, apply: Path | None) -> None:
    """Raise `InvalidInput` when both are given, or when the plan cannot be a new file."""
    if plan is not None and apply is not None:
        raise InvalidInput("give --plan or --apply, not both")
    if plan is not None:
        from zenskar.ops.plan_file import check_new

        check_new(plan)


def write_plans(
    command: str,
    source: str,
    file: Path,
    plans: Sequence[P],
    show: Callable[[P], None],
    output: Output,
) -> None:
    """Write the plans of a command to a new file, and show them.

    Raises `InvalidInput` for a file that exists, and `typer.Exit` when something is left for a
    person.
    """
    from zenskar.ops.plan_file import write_plan

    write_plan(file, command, [plan.to_json() for plan in plans])
    if output is Output.JSON:
        print_json({"data": [plan.to_json() for plan in plans]})
    else:
        for plan in plans:
            show(plan)
        print_lines("", f"Nothing was changed. Apply it: zenskar {command} {source} --apply {file}")
    if not all(plan.certain for plan in plans):
        raise typer.Exit(LEFT)


def apply_plans(
    command: str,
    source: str,
    file: Path,
    read: Callable[[Mapping[str, Any]], P],
    apply: "Callable[[OperationFactory, P, OnProgress], Awaitable[PlanResult]]",
    output: Output,
) -> None:
    """Apply the plans in a file, beside a worker of this process.

    Raises `InvalidInput` for a file without a plan of the command for this connection, and
    `typer.Exit` when a run has stopped or a step was skipped.
    """
    from zenskar.ops.plan_file import read_plan

    plans = {plan.entity_type: plan for plan in map(read, read_plan(file, command))}
    if wrong := {plan.source for plan in plans.values()} - {source}:
        raise InvalidInput(f"the plan is for {', '.join(sorted(wrong))}")

    async def run(
        factory: "OperationFactory", name: str, on_progress: "OnProgress"
    ) -> "PlanResult":
        return await apply(factory, plans[name], on_progress)

    results = with_factory(lambda factory: run_with_progress(factory, plans, run), with_worker=True)
    if output is Output.JSON:
        print_json({"data": [result.to_json() for result in results]})
    else:
        for result in results:
            _show_result(result)
    fail_if_stopped(results)
    if any(result.skipped for result in results):
        raise typer.Exit(LEFT)


def show_counts(counts: Mapping[str, int], meanings: Mapping[str, str]) -> None:
    """Print the number of steps of each kind, and of the rest."""
    rows = [
        {"kind": kind, "count": count, "means": meanings[kind]} for kind, count in counts.items()
    ]
    print_table(_COUNTS, rows)


def show_sample(steps: Sequence[BulkStep]) -> None:
    """Print examples of each kind of step and of each effect on a field, conflicts first."""
    from zenskar.sync.reconcile.field_fate import has_conflict

    rows: list[dict[str, object]] = []
    for kind in dict.fromkeys(step.kind for step in steps):
        some = [step for step in steps if step.kind == kind]
        some.sort(key=lambda step: not has_conflict(step.fields))
        rows += [
            {
                "kind": str(kind),
                "external_id": step.external_id,
                "record_id": step.record_id,
                "fields": [f"{path[1:]}: {fate.value}" for path, fate in step.fields.items()],
            }
            for step in _sample(some)
        ]
    if rows:
        print_lines("", "Examples")
        print_table(_STEPS, rows)


def _sample(steps: Sequence[BulkStep]) -> list[BulkStep]:
    """Return the first steps, and the first step of each further effect on a field."""
    chosen = list(steps[:SAMPLE])
    shown = {effect for step in chosen for effect in step.fields.items()}
    for step in steps[SAMPLE:]:
        if len(chosen) < _MOST_EXAMPLES and not shown.issuperset(step.fields.items()):
            chosen.append(step)
            shown.update(step.fields.items())
    return chosen


def _show_result(result: "PlanResult") -> None:
    print_lines(
        f"{result.source} {result.entity_type}: {result.steps} steps, {result.done} done, "
        f"{result.already_done} done before, {result.queued} queued until the connection is "
        f"resumed, {len(result.skipped)} skipped."
    )
    if result.skipped:
        print_lines("")
        print_table(_SKIPPED, result.to_json()["skipped"])
