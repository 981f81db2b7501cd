"""`zenskar keys`."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor
from zenskar.errors import InvalidInput
from zenskar.model.scope import Scope

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="API keys, for Authorization: Bearer KEY.")
_SPAN = re.compile(r"([1-9][0-9]{0,5})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_COLUMNS = {
    "prefix": "PREFIX",
    "name": "NAME",
    "scope": "SCOPE",
    "expires_at": "EXPIRES",
    "created_at": "CREATED",
    "last_used_at": "LAST USED",
    "revoked_at": "REVOKED",
}


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="The user of the key.")],
    scope: Annotated[
        Scope, typer.Option(help="The allowed requests; write includes read, admin both.")
    ] = Scope.ADMIN,
    expires: Annotated[
        str | None,
        typer.Option(help="When the key expires: 12h, 90d or a time such as 2030-01-31."),
    ] = None,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    from zenskar.ops import keys

    until = _time(expires) if expires is not None else None
    by = current_actor(reason)
    made, key = _run(lambda db: keys.create(db, name, scope, until, by))
    if output is Output.JSON:
        print_json({"key": key, **asdict(made)})
        return
    print_lines("This is the only time that the key is shown:", error=True)
    print_lines(key)


@app.command("list")
def show(output: OutputOption = Output.TABLE) -> None:
    """List the keys without their secrets."""
    from zenskar.db import api_keys

    rows = [asdict(key) for key in _run(api_keys.read_all)]
    if output is Output.JSON:
        print_json({"data": rows})
    else:
        print_table(_COLUMNS, rows)


@app.command("revoke")
def revoke(
    prefix: Annotated[str, typer.Argument(help="The key's prefix, see `zenskar keys list`.")],
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Revoke a key; every process refuses the key within seconds."""
    from zenskar.ops import keys

    by = current_actor(reason)
    _run(lambda db: keys.revoke(db, prefix, by))
    if output is Output.JSON:
        print_json({"revoked": prefix})
    else:
        print_lines(f"The key {prefix} is revoked.")


def _time(text: str) -> datetime:
    """Return the time of a span from now or of an ISO 8601 text, which is UTC without a zone."""
    now = datetime.now(UTC)
    span = _SPAN.fullmatch(text)
    try:
        found = now + int(span[1]) * _UNITS[span[2]] if span else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"--expires {text!r}: use a span such as 12h or 90d, or a time such as 2030-01-31"
        ) from None
    moment = found if found.tzinfo else found.replace(tzinfo=UTC)
    if moment <= now:
        raise InvalidInput("--expires: that time has passed")
    return moment


def _run(operation: Callable[["AsyncConnection"], Awaitable[T]]) -> T:
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)

    async def run() -> T:
        from zenskar.db.driver.engine import in_transaction

        async with session.open_current(settings) as engine:
            return await in_transaction(engine, operation)

    return asyncio.run(run())
