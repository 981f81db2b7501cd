"""`zenskar customers`."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.bulk_session import with_factory
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor
from zenskar.ids import new_id

if TYPE_CHECKING:
    from zenskar.model.actor import Actor
    from zenskar.ops.prompt import Prompter

    _Request = Callable[[str, str, str | None, Actor], Coroutine[Any, Any, Sequence[str]]]

app = typer.Typer(no_args_is_help=True, help="Single customers.")
_COLUMNS = {"source_system": "CONNECTION", "external_id": "EXTERNAL", "state": "LINK"}
_LEFT = 3


@app.callback()
def customers() -> None:
    """Group the commands."""


CustomerId = Annotated[str, typer.Argument(metavar="ID", help="The id of a customer.")]
ConnectionOption = Annotated[
    str | None, typer.Option("--connection", help="Only this connection; all by default.")
]


@app.command("fetch")
def fetch(
    customer: CustomerId,
    connection: ConnectionOption = None,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Request a fetch of the customer's external objects now; workers apply their state."""
    _request("fetch", lambda prompter: prompter.fetch, customer, connection, reason, output)


@app.command("push")
def push(
    customer: CustomerId,
    connection: ConnectionOption = None,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Request a push of the customer now; workers send it where an object differs."""
    _request("push", lambda prompter: prompter.push, customer, connection, reason, output)


def _request(
    what: str,
    method: "Callable[[Prompter], _Request]",
    customer: str,
    connection: str | None,
    reason: str | None,
    output: Output,
) -> None:
    """Request work of the prompter on a customer, and print the connections."""
    customer_id, by = session.parse_id(customer), current_actor(reason)
    sources = with_factory(
        lambda factory: method(factory.prompter())("customer", customer_id, connection, by)
    )
    if output is Output.JSON:
        print_json({"id": customer_id, "connections": list(sources)})
    else:
        print_lines(f"A {what} was requested at {', '.join(sources)}.")


@app.command("undelete")
def undelete(
    customer: Annotated[str, typer.Argument(metavar="ID", help="The id of a deleted customer.")],
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Restore a deleted customer, and its links to living objects.

    Each object is fetched first. A new object replaces an object that is proven deleted. Exits with
    3 when an object is not visible: that connection stays unchanged.
    """
    customer_id, by = session.parse_id(customer), current_actor(reason)
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
