"""`zenskar erase`."""

import asyncio
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from zenskar.model.actor import Actor
    from zenskar.ops.erase import Erased

app = typer.Typer(no_args_is_help=True, help="Erase a customer; only its id stays.")
_ROWS = {"table": "TABLE", "rows": "ROWS"}
_EXTERNAL = {"source_system": "CONNECTION", "external_id": "OBJECT", "state": "STATE"}


@app.callback()
def erase() -> None:
    """Hold the options that stand before a command."""


@app.command("customer")
def customer(
    customer_id: Annotated[str, typer.Argument(metavar="ID", help="The customer's id.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the rows to erase.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Erase a customer permanently: only its id and the time of the erasure stay.

    A living customer is deleted first, at each external system as its connection says. This cannot
    be undone. Kafka keeps messages until the retention of their topic ends.
    """
    name = session.parse_id(customer_id)
    if not (dry_run or yes):
        _ask(name)
    found = asyncio.run(_erase(name, current_actor(reason), dry_run=dry_run))
    if output is Output.JSON:
        print_json(asdict(found) | {"dry_run": dry_run})
        return
    print_lines(f"The customer {found.id} {'would be' if dry_run else 'is'} erased.")
    print_table(_ROWS, [{"table": table, "rows": n} for table, n in found.rows.items()])
    if found.external:
        print_lines("", "Objects at external systems, which only those systems can erase:")
        print_table(_EXTERNAL, found.external)


def _ask(name: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInput("this cannot be undone: confirm with --yes")
    typer.confirm(f"Erase the customer {name}? This cannot be undone.", abort=True)


async def _erase(name: str, by: "Actor", *, dry_run: bool) -> "Erased":
    from zenskar.cli.data_folder import DataFolder
    from zenskar.model.envelope import OUTBOUND
    from zenskar.ops.erase import Eraser
    from zenskar.plugins.broadcasts import Broadcaster
    from zenskar.plugins.configuration import configure
    from zenskar.plugins.discovery import broadcast_plugins, discover

    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    running = DataFolder(settings.data_dir).running() if settings.database_url is None else None
    plugins = discover()
    owners = (
        *configure(plugins, settings, environment),
        *(running.sandboxes if running else ()),
    )
    async with session.open_current(settings) as engine:
        broadcaster = Broadcaster(broadcast_plugins(plugins))
        names = tuple(dict.fromkeys(owners))
        eraser = Eraser(engine, names, lambda _topic: None, broadcaster)
        found = await eraser.erase(name, by, dry_run=dry_run)
        await broadcaster.close()
        if not dry_run:
            from zenskar.db.driver.engine import in_transaction

            await in_transaction(engine, lambda c: session.notify(c, OUTBOUND))
    return found
