"""Write, show and apply the plan of `zenskar dlq retry`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from zenskar.cli import replay_session
from zenskar.cli.bulk_session import LEFT
from zenskar.cli.plans import SAMPLE
from zenskar.cli.render.output import Output, print_json, print_lines, print_table
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from zenskar.db.events.event_log import EventFilter
    from zenskar.ops.replay import Replay
    from zenskar.ops.retry_plan import RetryPlan, RetryResult, RetryStep

_KIND = "dlq retry"
_COUNTS = {"source": "SOURCE", "direction": "DIRECTION", "kind": "KIND", "count": "COUNT"}
_STEPS = {
    "event_id": "ID",
    "dead_since": "DEAD SINCE",
    "source_system": "SOURCE",
    "direction": "DIRECTION",
    "event_type": "TYPE",
    "record_id": "RECORD",
    "external_id": "EXTERNAL",
}
_SKIPPED = {"event_id": "SKIPPED", "why": "WHY"}


def make_plan(wanted: "EventFilter", file: Path, output: Output) -> None:
    """Write a plan for the dead letters that a filter matches to a new file, and show it.

    Raises `InvalidInput` for a file that exists, and `typer.Exit` when some cannot be retried.
    """
    from zenskar.ops.plan_file import write_plan
    from zenskar.ops.retry_plan import plan_retry

    plan = replay_session.run_with_replay(lambda engine, r: plan_retry(engine, r, wanted))
    write_plan(file, _KIND, [plan.to_json()])
    if output is Output.JSON:
        print_json(plan.to_json())
    else:
        _show_plan(plan, file)
    if plan.unreadable:
        raise typer.Exit(LEFT)


def apply_plan(file: Path, reason: str | None, output: Output) -> None:
    """Retry the dead letters of the plan in a file that are as they were.

    Raises `InvalidInput` for a file without such a plan, and `typer.Exit` when some are skipped.
    """
    from zenskar.ops.plan_file import read_plan
    from zenskar.ops.retry_plan import RetryPlan, apply_retry

    found = read_plan(file, _KIND)
    if len(found) > 1:
        raise InvalidInput(f"{file} holds several plans: apply each from its own file")
    plan = RetryPlan.from_json(found[0])
    by = replay_session.current_actor(reason)

    async def apply(engine: "AsyncEngine", replay: "Replay") -> "RetryResult":
        return await apply_retry(engine, replay, plan, by)

    result = replay_session.run_with_replay(apply)
    if output is Output.JSON:
        print_json(result.to_json())
    else:
        print_lines(
            f"{result.steps} dead letters, {result.done} retried, {result.already_done} retried "
            f"before, {len(result.skipped)} skipped."
        )
        if result.skipped:
            print_lines("")
            print_table(_SKIPPED, result.skipped)
    if result.skipped:
        raise typer.Exit(LEFT)


def _show_plan(plan: "RetryPlan", file: Path) -> None:
    print_lines(
        f"{len(plan.steps)} dead letters are retried, {len(plan.unreadable)} stay: their stored "
        "messages cannot be read."
    )
    if plan.steps:
        print_lines("")
        print_table(_COUNTS, plan.to_json()["counts"])
        print_lines("", "Examples")
        rows = [{name: getattr(step, name) for name in _STEPS} for step in _sample(plan.steps)]
        print_table(_STEPS, rows)
    print_lines("", f"Nothing was changed. Apply it: zenskar dlq retry --apply {file}")


def _sample(steps: "Sequence[RetryStep]") -> "list[RetryStep]":
    """Return the first steps of each group."""
    groups: dict[tuple[str, str, str], list[RetryStep]] = {}
    for step in steps:
        groups.setdefault(step.group, []).append(step)
    return [step for some in groups.values() for step in some[:SAMPLE]]
