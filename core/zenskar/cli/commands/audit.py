"""`zenskar audit`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.render.event_list import Limit
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.time_options import Since, Until, moment_of
from zenskar.model.operator_action import ActionKind, ActionState

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

app = typer.Typer(no_args_is_help=True, help="The actions of operators.")
_COLUMNS = {
    "at": "AT",
    "by": "BY",
    "place": "FROM",
    "action": "ACTION",
    "target": "TARGET",
    "state": "STATE",
    "result": "RESULT",
    "reason": "REASON",
}


@app.callback()
def audit() -> None:
    """Group the commands, even a single command."""


@app.command("list")
def show(  # noqa: PLR0913, PLR0917 - one for each option
    action: Annotated[ActionKind | None, typer.Option(help="Only of this kind.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Only with this connection, record, event or key.")
    ] = None,
    state: Annotated[ActionState | None, typer.Option(help="Only with this state.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Annotated[
        str | None, typer.Option(help="Only actions older than the action with this id.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the actions of operators, newest first: who, from where, when, and why."""
    from zenskar.db.driver.engine import in_transaction
    from zenskar.db.operators.actions import ActionFilter
    from zenskar.ops import audit as audit_log

    wanted = ActionFilter(action, target, state, moment_of(since), moment_of(until))
    older = session.parse_id(before) if before else None

    async def read(engine: "AsyncEngine") -> list[dict[str, Any]]:
        page = await in_transaction(
            engine, lambda c: audit_log.page(c, wanted, limit=limit, before=older)
        )
        return [asdict(each) for each in page.actions]

    rows = session.run_with_engine(read)
    if output is Output.JSON:
        print_json({"data": rows})
    elif rows:
        print_table(_COLUMNS, [row | {"result": _text(row["result"])} for row in rows])
    else:
        print_lines("There is no such action.")


def _text(result: dict[str, Any]) -> str | None:
    return ", ".join(f"{name} {value}" for name, value in result.items()) or None
