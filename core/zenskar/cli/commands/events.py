"""`zenskar events`."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import replay_session, session
from zenskar.cli.render.event_list import Before, Limit, print_events
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines
from zenskar.cli.replay_session import ReasonOption
from zenskar.cli.time_options import Since, Until, moment_of
from zenskar.errors import InvalidInput, StateConflict
from zenskar.model.sync_event import Direction, SyncStatus

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from zenskar.db.events.event_log import EventFilter

app = typer.Typer(no_args_is_help=True, help="Sync events: list, show or retry them.")

Status = Annotated[SyncStatus | None, typer.Option(help="Only with this status.")]
Source = Annotated[str | None, typer.Option(help="Only of this connection.")]
Way = Annotated[Direction | None, typer.Option(help="Only of this direction.")]
Customer = Annotated[str | None, typer.Option(help="Only of the customer with this id.")]
_COLUMNS = {
    "id": "ID",
    "created_at": "CREATED",
    "direction": "DIRECTION",
    "source_system": "SOURCE",
    "event_type": "TYPE",
    "status": "STATUS",
    "reason": "REASON",
    "attempts": "ATTEMPTS",
    "entity_id": "RECORD",
    "external_id": "EXTERNAL",
}


@app.command("list")
def show_many(  # noqa: PLR0913, PLR0917 - one for each option
    status: Status = None,
    source: Source = None,
    direction: Way = None,
    customer: Customer = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Before = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List sync events, newest first."""
    chosen = _filter(status, source, direction, customer)
    wanted = replace(chosen, since=moment_of(since), until=moment_of(until))
    none = "There is no such sync event."
    print_events(wanted, limit, before, output, columns=_COLUMNS, none=none)


@app.command("show")
def show_one(
    event_id: Annotated[str, typer.Argument(help="The sync event's id.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a sync event with its history: changes, conflicts and failures."""
    from zenskar.cli.render.event_text import event_text
    from zenskar.db.driver.engine import in_transaction
    from zenskar.ops import events

    wanted = session.parse_id(event_id)

    async def read(engine: "AsyncEngine") -> dict[str, Any]:
        found = await in_transaction(engine, lambda c: events.read(c, wanted))
        return {**asdict(found.event), "history": [asdict(entry) for entry in found.history]}

    found = session.run_with_engine(read)
    if output is Output.JSON:
        print_json(found)
    else:
        print_lines(*event_text(found))


@app.command("resend")
def resend(
    event_id: Annotated[str, typer.Argument(help="The sync event's id.")],
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send the message of an unfinished sync event again, unless the message waits."""
    wanted, by = session.parse_id(event_id), replay_session.current_actor(reason)
    if not replay_session.run_with_replay(lambda _, replay: replay.resend(wanted, by)):
        raise StateConflict("there is no unfinished sync event whose message can be sent now")
    if output is Output.JSON:
        print_json({"resent": 1})
    else:
        print_lines("The message is sent again.")


@app.command("retry")
def retry(  # noqa: PLR0913, PLR0917 - one for each option
    event_ids: Annotated[list[str] | None, typer.Argument(help="Sync events to retry.")] = None,
    status: Status = None,
    source: Source = None,
    direction: Way = None,
    customer: Customer = None,
    every: Annotated[bool, typer.Option("--all", help="All failed sync events.")] = False,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Retry failed sync events: by id, by the options, or all."""
    given = (event_ids, status, source, direction, customer)
    if every == any(given):
        raise InvalidInput("name the sync events to retry, or filter them, or give --all")
    ids = tuple(map(session.parse_id, event_ids)) if event_ids else None
    wanted = _filter(status, source, direction, customer, ids)
    count = replay_session.run_with_replay(
        lambda _, replay: replay.retry(wanted, replay_session.current_actor(reason))
    )
    if count == 0 and ids:
        raise StateConflict("only sync events that are held back, retrying or dead can be retried")
    if output is Output.JSON:
        print_json({"retried": count})
    else:
        print_lines(f"{count} sync events will be processed again.")


def _filter(
    status: SyncStatus | None,
    source: str | None,
    direction: Direction | None,
    customer: str | None,
    ids: tuple[str, ...] | None = None,
) -> "EventFilter":
    from zenskar.db.events.event_log import EventFilter

    owner = session.parse_id(customer) if customer else None
    return EventFilter(status, source, direction, customer_id=owner, ids=ids)
