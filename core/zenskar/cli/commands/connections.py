"""`zenskar connections`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, OutputOption, say, show_json, show_table
from zenskar.cli.replay_session import operator
from zenskar.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from zenskar.ops.resume import Dropped

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="The connections to external systems.")
Name = Annotated[str, typer.Argument(help="The connection, see `zenskar connections list`.")]
_COLUMNS = {
    "name": "NAME",
    "state": "STATE",
    "reason": "REASON",
    "account": "ACCOUNT",
    "held_until": "HELD UNTIL",
    "waiting": "WAITING",
    "oldest_seconds": "OLDEST (S)",
    "dead": "DEAD",
    "error_kind": "LAST ERROR",
    "error_message": "MESSAGE",
    "error_at": "AT",
}
_HELD_COLUMNS = {
    "record_id": "RECORD",
    "external_id": "EXTERNAL",
    "id": "SYNC EVENT",
    "created_at": "SINCE",
}
_HELD = 3


@app.command("list")
def show(output: OutputOption = Output.TABLE) -> None:
    """List the connections, what waits at each, and its last error."""
    rows = _run(_rows)
    if output is Output.JSON:
        show_json({"data": rows})
    elif rows:
        show_table(_COLUMNS, [_rounded(row) for row in rows])
    else:
        say("There is no connection: see `zenskar plugins list` for the settings to set.")


@app.command("pause")
def pause(name: Name, output: OutputOption = Output.TABLE) -> None:
    """Make no more calls to an external system; changes wait."""
    from zenskar.db import connections

    by = str(operator())

    async def work(db: "AsyncConnection", known: tuple[str, ...]) -> dict[str, Any]:
        await _known(db, known, name)
        await connections.pause(db, name, "paused by an operator", by=by)
        return await _row(db, known, name)

    _show(_run(work), output)


@app.command("resume")
def resume(
    name: Name,
    apply_deletes: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="COUNT", help="Let the held deletes go, which are so many by now."
        ),
    ] = None,
    drop_deletes: Annotated[
        bool, typer.Option("--drop-deletes", help="Drop those whose object is not deleted.")
    ] = False,
    accept_account: Annotated[
        bool, typer.Option("--accept-account", help="The other account is meant.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Go on where a connection was paused.

    Held deletes are let go only when told how many, or dropped after a look at each object. Exits
    with 3 when some of those are proven deleted: they stay held, and the connection stays paused.
    """
    from zenskar.model.envelope import INBOUND, OUTBOUND
    from zenskar.ops import resume

    if drop_deletes and apply_deletes is not None:
        raise InvalidInput("--apply-deletes and --drop-deletes cannot both be meant")
    by, looked = str(operator()), _drop(name) if drop_deletes else None
    wish = resume.ResumeRequest(apply_deletes, accept_account)

    async def work(db: "AsyncConnection", known: tuple[str, ...]) -> dict[str, Any]:
        await _known(db, known, name)
        if looked is None:
            await resume.resume(db, name, by, wish)
        await session.notify(db, OUTBOUND, INBOUND)
        return await _row(db, known, name)

    row = _run(work)
    if looked is None:
        _show(row, output)
        return
    if output is Output.TABLE:
        say(f"{looked.dropped} deletes dropped, {looked.proven} are proven and stay held.")
    _show(row | asdict(looked), output)
    if looked.proven:
        raise typer.Exit(_HELD)


def _drop(name: str) -> "Dropped":
    """Look at the object of each held delete, and drop the delete unless it is proven."""
    from zenskar.cli.commands.reconcile import with_parts

    by = str(operator())
    return with_parts(lambda parts: parts.dropper().drop(name, by))


@app.command("held")
def held(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the oldest.")] = 100,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the deletes that the delete guard holds back, and the records that they are about."""

    async def work(db: "AsyncConnection", known: tuple[str, ...]) -> dict[str, Any]:
        from zenskar.db import held_deletes

        await _known(db, known, name)
        found = await held_deletes.deletes(db, name, limit)
        total = await held_deletes.count(db, name)
        return {"data": [asdict(each) for each in found], "total": total}

    answer = _run(work)
    if output is Output.JSON:
        show_json(answer)
        return
    show_table(_HELD_COLUMNS, answer["data"])
    say(f"{answer['total']} deletes are held at {name}.")


def _run(work: "Callable[[AsyncConnection, tuple[str, ...]], Awaitable[T]]") -> T:
    from zenskar.cli.data_folder import DataFolder
    from zenskar.plugins.discovery import configure, discover

    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    running = DataFolder(settings.data_dir).running() if settings.database_url is None else None
    sandboxes = tuple(running.sandboxes) if running else ()
    known = (*configure(discover(), settings, environment), *sandboxes)

    async def run() -> T:
        from zenskar.db.driver.engine import in_transaction

        async with session.open_current(settings) as engine:
            return await in_transaction(engine, lambda c: work(c, known))

    return asyncio.run(run())


async def _rows(db: "AsyncConnection", known: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the configured connections, and those that the database remembers."""
    from zenskar.db import connections
    from zenskar.db.connections import ConnectionState
    from zenskar.db.events import event_log
    from zenskar.db.events.event_log import Backlog
    from zenskar.model.sync_event import NO_SOURCE

    states, backlog = await connections.states(db), await event_log.backlog(db)
    rows = []
    for name in dict.fromkeys((*known, *states, *backlog)):
        if name == NO_SOURCE:
            continue
        state = states.get(name, ConnectionState(name))
        waits = backlog.get(name, Backlog(waiting=0, oldest_seconds=None, dead=0))
        row = asdict(state) | asdict(waits)
        del row["held_seconds"]
        if name not in known:
            row["state"] = "not configured"
        rows.append(row)
    return rows


async def _row(db: "AsyncConnection", known: tuple[str, ...], name: str) -> dict[str, Any]:
    return next(row for row in await _rows(db, known) if row["name"] == name)


async def _known(db: "AsyncConnection", known: tuple[str, ...], name: str) -> None:
    names = [row["name"] for row in await _rows(db, known)]
    if name not in names:
        raise NotFound(f"no connection is called {name!r}; there are: {', '.join(names) or 'none'}")


def _show(row: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        show_json(row)
    else:
        say(f"The connection {row['name']} is {row['state']}.")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    oldest = row["oldest_seconds"]
    return {**row, "oldest_seconds": None if oldest is None else round(oldest)}
