"""Print the lists of `zenskar events list` and `zenskar dlq list`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, print_json, print_lines, print_table

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from zenskar.db.events.event_log import EventFilter

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]
Before = Annotated[str | None, typer.Option(help="Only events older than the event with this id.")]


def print_events(
    wanted: "EventFilter",
    limit: int,
    before: str | None,
    output: Output,
    *,
    columns: Mapping[str, str],
    none: str,
) -> None:
    """Print the events that match a filter, newest first; print `none` without a match."""
    from zenskar.ops import events

    older = session.parse_id(before) if before else None

    async def read(engine: "AsyncEngine") -> list[dict[str, Any]]:
        found = await events.newest(engine, wanted, limit=limit, before=older)
        return [asdict(event) for event in found]

    rows = session.run_with_engine(read)
    if output is Output.JSON:
        print_json({"data": rows})
    elif rows:
        print_table(columns, rows)
    else:
        print_lines(none)
