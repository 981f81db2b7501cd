"""Lists of sync events, as `zenskar events list` and `zenskar dlq list` show them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, say, show_json, show_table

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from zenskar.db.events.event_log import EventFilter

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]
Before = Annotated[str | None, typer.Option(help="Only those older than this one.")]


def show_events(
    wanted: "EventFilter",
    limit: int,
    before: str | None,
    output: Output,
    *,
    columns: Mapping[str, str],
    none: str,
) -> None:
    """Print the events that a filter means, newest first, or that there are none."""
    from zenskar.db.driver.engine import in_transaction
    from zenskar.db.events import event_log

    older = session.identifier(before) if before else None

    async def work(engine: "AsyncEngine") -> list[dict[str, Any]]:
        found = await in_transaction(
            engine, lambda c: event_log.page(c, wanted, most=limit, before=older)
        )
        return [asdict(event) for event in found]

    rows = session.run(work)
    if output is Output.JSON:
        show_json({"data": rows})
    elif rows:
        show_table(columns, rows)
    else:
        say(none)
