"""`zenskar keys`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from zenskar.cli import session
from zenskar.cli.output import Output, OutputOption, show_json, show_table
from zenskar.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from zenskar.db.engines import AsyncConnection

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="API keys, for Authorization: Bearer KEY.")
_COLUMNS = {
    "prefix": "PREFIX",
    "name": "NAME",
    "created_at": "CREATED",
    "last_used_at": "LAST USED",
    "revoked_at": "REVOKED",
}


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a key and print it, this once."""
    from zenskar.db import api_keys

    if not (name.isprintable() and 0 < len(name.strip()) <= 200):
        raise InvalidInput("a key's name must be one line of 1 to 200 characters")
    made, key = _run(lambda connection: api_keys.create(connection, name))
    if output is Output.JSON:
        show_json({"key": key, "name": made.name, "prefix": made.prefix})
        return
    typer.echo("This is the only time that the key is shown:", err=True)
    typer.echo(key)


@app.command("list")
def show(output: OutputOption = Output.TABLE) -> None:
    """List the keys, without what makes them keys."""
    from zenskar.db import api_keys

    rows = [asdict(key) for key in _run(api_keys.read_all)]
    if output is Output.JSON:
        show_json({"data": rows})
    else:
        show_table(_COLUMNS, rows)


@app.command("revoke")
def revoke(
    prefix: Annotated[str, typer.Argument(help="The key's prefix, see `zenskar keys list`.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a key useless, within seconds everywhere."""
    from zenskar.db import api_keys

    if not _run(lambda connection: api_keys.revoke(connection, prefix)):
        raise NotFound(f"no living key has the prefix {prefix!r}: see `zenskar keys list`")
    if output is Output.JSON:
        show_json({"revoked": prefix})
    else:
        typer.echo(f"The key {prefix} is revoked.")


def _run(work: Callable[["AsyncConnection"], Awaitable[T]]) -> T:
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)

    async def run() -> T:
        from zenskar.db.engine import in_transaction

        async with session.open_current(settings) as engine:
            return await in_transaction(engine, work)

    return asyncio.run(run())
