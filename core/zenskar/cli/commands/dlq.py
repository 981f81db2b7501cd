"""`zenskar dlq`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import replay_session, session
from zenskar.cli.dlq_filter import filter_of
from zenskar.cli.plans import check_options
from zenskar.cli.render.event_list import Before, Limit, print_events
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption
from zenskar.cli.retry_plans import apply_plan, make_plan
from zenskar.errors import InvalidInput, StateConflict

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from zenskar.db.events.event_log import EventFilter
    from zenskar.ops.dead_letters import Action, ActionCount
    from zenskar.ops.replay import Replay

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, retry or discard them.")

Ids = Annotated[list[str] | None, typer.Argument(help="Dead letters, by the ids of the list.")]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="KEY=VALUE",
        help="Only with this source, direction, customer_id, reason, error_kind, event_type, "
        "correlation_id, external_id or error (where … stands for any characters); "
        "or dead for more (older_than=2h) or less (newer_than=30m) time than this. "
        "All given filters must match.",
    ),
]
Every = Annotated[bool, typer.Option("--all", help="All dead letters.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count the dead letters.")]
_GROUPS = {
    "count": "COUNT",
    "source": "SOURCE",
    "direction": "DIRECTION",
    "error_kind": "KIND",
    "reason": "REASON",
    "error": "ERROR",
    "first_at": "FIRST",
    "last_at": "LAST",
    "example": "NEWEST",
    "acknowledged": "ACKNOWLEDGED BY",
}
_COLUMNS = {
    "id": "ID",
    "updated_at": "DEAD SINCE",
    "direction": "DIRECTION",
    "source_system": "SOURCE",
    "event_type": "TYPE",
    "error_kind": "KIND",
    "attempts": "ATTEMPTS",
    "entity_id": "RECORD",
    "error_message": "ERROR",
}


@app.command("list")
def show_many(
    filters: Filters = None,
    limit: Limit = 50,
    before: Before = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List dead letters, newest first."""
    wanted = filter_of(filters or ())
    none = "There is no such dead letter."
    print_events(wanted, limit, before, output, columns=_COLUMNS, none=none)


@app.command("groups")
def groups(filters: Filters = None, output: OutputOption = Output.TABLE) -> None:
    """Group dead letters by cause: connection, direction, failure and text."""
    from zenskar.db.driver.engine import in_transaction
    from zenskar.ops import dead_letters

    wanted = filter_of(filters or ())
    found = session.run_with_engine(
        lambda engine: in_transaction(engine, lambda c: dead_letters.groups(c, wanted))
    )
    rows = [asdict(group) for group in found]
    named = [
        row | {"acknowledged": group.acknowledged and group.acknowledged.by}
        for row, group in zip(rows, found, strict=True)
    ]
    if output is Output.JSON:
        print_json({"data": rows})
    elif rows:
        print_table(_GROUPS, named)
    else:
        print_lines("There is no such dead letter.")


@app.command("acknowledge")
def acknowledge(
    filters: Filters = None, reason: ReasonOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Acknowledge groups of dead letters: somebody works on their cause.

    A group counts as new again when another of its letters dies.
    """
    from zenskar.db.driver.engine import in_transaction
    from zenskar.ops import dead_letters

    wanted, by = filter_of(filters or ()), replay_session.current_actor(reason)
    count = session.run_with_engine(
        lambda engine: in_transaction(engine, lambda c: dead_letters.acknowledge(c, wanted, by))
    )
    if output is Output.JSON:
        print_json({"acknowledged": count})
    else:
        print_lines(f"{count} dead letters are acknowledged.")


@app.command("show")
def show_one(
    event_id: Annotated[str, typer.Argument(help="The dead letter's id.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show the values of fields: personal data.")
    ] = False,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a dead letter: its error, its message and its history."""
    from zenskar.cli.render.event_text import event_text, message_text
    from zenskar.db.driver.engine import in_transaction
    from zenskar.ops import dead_letters

    wanted = session.parse_id(event_id)
    reveal_to = replay_session.current_actor(reason) if reveal else None

    async def read(engine: "AsyncEngine") -> dict[str, Any]:
        letter = await in_transaction(
            engine, lambda c: dead_letters.find(c, wanted, reveal_to=reveal_to)
        )
        history = [asdict(entry) for entry in letter.history]
        return {**asdict(letter.event), "payload": letter.payload, "history": history}

    found = session.run_with_engine(read)
    if output is Output.JSON:
        print_json(found)
    else:
        print_lines(*event_text(found))
        print_lines(*message_text(found["payload"]))


@app.command("retry")
def retry(  # noqa: PLR0913, PLR0917 - one for each option
    event_ids: Ids = None,
    filters: Filters = None,
    every: Every = False,
    dry_run: DryRun = False,
    plan: Annotated[
        Path | None, typer.Option(help="Only write a plan to this new file, and show it.")
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(help="Retry the dead letters of the plan in this file that are still dead."),
    ] = None,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Retry dead letters: by id, by filters, or all.

    With --plan and then --apply, retry exactly the dead letters of the plan. Exits with 3 when
    --plan finds dead letters that cannot be retried, or when --apply skips one.
    """
    check_options(plan, apply)
    if apply is not None:
        if event_ids or filters or every or dry_run:
            raise InvalidInput("--apply retries the dead letters of its plan alone")
        apply_plan(apply, reason, output)
        return
    wanted = _selected(event_ids, filters, every=every)
    if plan is not None:
        make_plan(wanted, plan, output)
        return
    _apply(
        wanted, lambda r, w, by: r.retry(w, by), "retried", reason, dry_run=dry_run, output=output
    )


@app.command("discard")
def discard(
    event_ids: Ids = None,
    filters: Filters = None,
    every: Every = False,
    dry_run: DryRun = False,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Discard dead letters permanently; their history stays and names the actor."""
    wanted = _selected(event_ids, filters, every=every)
    _apply(
        wanted,
        lambda r, w, by: r.discard(w, by),
        "discarded",
        reason,
        dry_run=dry_run,
        output=output,
    )


def _selected(
    event_ids: list[str] | None, filters: list[str] | None, *, every: bool
) -> "EventFilter":
    if every == bool(event_ids or filters):
        raise InvalidInput("name the dead letters, or give --filter, or give --all")
    ids = tuple(map(session.parse_id, event_ids)) if event_ids else None
    return filter_of(filters or (), ids)


def _apply(
    wanted: "EventFilter",
    action: "Action",
    done: str,
    reason: str | None,
    *,
    dry_run: bool,
    output: Output,
) -> None:
    from zenskar.ops import dead_letters

    by = replay_session.current_actor(reason)

    async def act(_engine: "AsyncEngine", replay: "Replay") -> "ActionCount":
        return await dead_letters.act(replay, wanted, action, by, dry_run=dry_run)

    acted = replay_session.run_with_replay(act)
    matched, count = acted.matched, acted.done
    if wanted.ids and not matched:
        raise StateConflict("none of these is a dead letter")
    if output is Output.JSON:
        print_json({"matched": matched, done: count})
    else:
        print_lines(_summary(matched, count, done, dry_run=dry_run))
    if wanted.ids and not dry_run and not count:
        raise StateConflict(
            "this release cannot process the stored messages: `zenskar dlq show ID`"
        )


def _summary(matched: int, count: int, done: str, *, dry_run: bool) -> str:
    if dry_run:
        return f"{matched} dead letters would be {done}."
    left = f" {matched - count} stay: their stored messages cannot be read." * (matched > count)
    return f"{count} dead letters {done}.{left}"
