"""`zenskar explain`."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli import session
from zenskar.cli.error_output import print_error
from zenskar.cli.render.output import Output, OutputOption, print_json, print_table
from zenskar.errors import NotFound

if TYPE_CHECKING:
    from zenskar.db.events.timeline import CustomerMatch
    from zenskar.ops.explain.model import Explanation

app = typer.Typer(no_args_is_help=True, help="Explain the state of a record.")
_COLUMNS = {
    "id": "ID",
    "name": "NAME",
    "email": "EMAIL",
    "deleted_at": "DELETED",
    "external_ids": "EXTERNAL",
}


@app.callback()
def explain() -> None:
    """Group the commands, even a single command."""


@app.command("customer")
def customer(
    customer_id: Annotated[
        str, typer.Argument(metavar="ID", help="The customer's id, external id or e-mail address.")
    ],
    field: Annotated[
        str | None, typer.Option(help="Only the changes of this field: email, metadata.plan, …")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many sync events at most, the newest.")
    ] = 1000,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the history of a customer in causal order, and the origin of each field.

    The output holds personal data.
    """
    found = _find(customer_id, field, limit)
    if isinstance(found, list):
        _refuse(found, output)
    elif output is Output.JSON:
        print_json(asdict(found))
    else:
        _show(found)


def _find(name: str, field: str | None, limit: int) -> "Explanation | list[CustomerMatch]":
    from zenskar.ops.explain import explainer as explaining

    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)

    async def run() -> "Explanation | list[CustomerMatch]":
        async with session.open_current(settings) as engine:
            matches = await explaining.find(engine, name)
            if not matches:
                raise NotFound("no customer has this id, external id or e-mail")
            if len(matches) > 1:
                return matches
            found = await explaining.explain(engine, matches[0].id, most_events=limit)
            return explaining.narrow(found, field) if field else found

    return asyncio.run(run())


def _refuse(matches: "list[CustomerMatch]", output: Output) -> None:
    """List the customers that match, and ask the caller to choose one."""
    rows = [asdict(match) for match in matches]
    if output is Output.JSON:
        print_json({"matches": rows})
    else:
        print_table(_COLUMNS, rows)
    print_error(f"{len(rows)} customers match: choose one by its id")
    raise typer.Exit(1)


def _show(found: "Explanation") -> None:
    from rich.console import Console
    from rich.text import Text

    from zenskar.cli.render.explain_text import WIDTH, explanation_lines

    console = Console(highlight=False, emoji=False)
    width = max(WIDTH, console.width) if console.is_terminal else WIDTH
    for line in explanation_lines(found, width):
        console.print(Text(line.text, style=line.style), soft_wrap=True)
