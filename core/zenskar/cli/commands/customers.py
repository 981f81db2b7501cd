"""`zenskar customers`."""

from dataclasses import asdict
from typing import Annotated

import typer

from zenskar.cli import session
from zenskar.cli.commands.reconcile import with_factory
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import current_actor
from zenskar.ids import new_id

app = typer.Typer(no_args_is_help=True, help="Single customers.")
_COLUMNS = {"source_system": "CONNECTION", "external_id": "EXTERNAL", "state": "LINK"}
_LEFT = 3


@app.callback()
def customers() -> None:
    """Group the commands, also while there is only one."""


@app.command("undelete")
def undelete(
    customer: Annotated[str, typer.Argument(metavar="ID", help="The id of a deleted customer.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Bring a deleted customer back, and its links where the objects live.

    Each object is looked at first. One that is proven deleted gets a successor. Exits with 3 when
    an object is not visible: nothing is done at that connection.
    """
    customer_id, by = session.parse_id(customer), current_actor()
    links = with_factory(
        lambda factory: factory.undeleter().undelete("customer", customer_id, by, new_id())
    )
    rows = [asdict(link) for link in links]
    if output is Output.JSON:
        print_json({"id": customer_id, "links": rows})
    else:
        print_lines(f"The customer {customer_id} is back.")
        print_table(_COLUMNS, rows)
    if any(row["state"] == "not_visible" for row in rows):
        raise typer.Exit(_LEFT)
