"""`zenskar connections`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from zenskar.cli import session
from zenskar.cli.commands import connection_trial
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from zenskar.db.events.held_deletes import HeldDelete
    from zenskar.model.actor import Actor
    from zenskar.ops.connections import ConnectionStatus
    from zenskar.ops.drop_deletes import DroppedDeletes, ObjectState
    from zenskar.plugins.broadcasts import Broadcaster

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="The connections to external systems.")
app.command("test")(connection_trial.show_both_ways)
Name = connection_trial.Name
_COLUMNS = {
    "name": "NAME",
    "state": "STATE",
    "reason": "REASON",
    "pause_note": "NOTE",
    "account": "ACCOUNT",
    "held_until": "HELD UNTIL",
    "calls": "CALLS",
    "polled_at": "POLLED",
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
    """List the connections, the events that wait at each, and its last error."""
    from zenskar.ops import connections

    off: dict[str, str] = {}
    found = _run(lambda db, names, _: connections.statuses(db, names), off)
    rows = [_row(status, off) for status in found]
    if output is Output.JSON:
        print_json({"data": rows})
    elif rows:
        print_table(_COLUMNS, [_rounded(row) for row in rows])
    else:
        print_lines("There is no connection: see `zenskar plugins list` for the settings to set.")


@app.command("pause")
def pause(name: Name, reason: ReasonOption = None, output: OutputOption = Output.TABLE) -> None:
    """Stop all calls to an external system; changes wait."""
    from zenskar.ops import connections

    by = current_actor(reason)

    async def pause_connection(
        db: "AsyncConnection", configured: tuple[str, ...], broadcaster: "Broadcaster"
    ) -> "ConnectionStatus":
        await connections.status(db, name, configured)
        await connections.pause(db, name, by, broadcaster)
        return await connections.status(db, name, configured)

    _show(_row(_run(pause_connection)), output)


@app.command("resume")
def resume(  # noqa: PLR0913, PLR0917 - one for each option
    name: Name,
    apply_deletes: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="COUNT", help="Apply the held deletes, whose number must be this."
        ),
    ] = None,
    drop_deletes: Annotated[
        bool, typer.Option("--drop-deletes", help="Drop held deletes that are not proven.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="SYNC_EVENT", help="With --drop-deletes: only this held delete."),
    ] = None,
    accept_account: Annotated[
        bool, typer.Option("--accept-account", help="Accept the other account.")
    ] = False,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Resume a paused connection.

    Held deletes are applied only with their number, or dropped after each object is fetched. Exits
    with 3 when some objects are proven deleted: those deletes stay held, and the connection paused.
    """
    from zenskar.model.envelope import INBOUND, OUTBOUND
    from zenskar.ops import connections

    if only and not drop_deletes:
        raise InvalidInput("--only chooses deletes to drop: give --drop-deletes too")
    if drop_deletes and apply_deletes is not None:
        raise InvalidInput("give either --apply-deletes or --drop-deletes")
    by = current_actor(reason)
    dropped = _drop(name, by, only) if drop_deletes else None
    request = connections.ResumeRequest(apply_deletes, accept_account)

    async def resume_connection(
        db: "AsyncConnection", configured: tuple[str, ...], broadcaster: "Broadcaster"
    ) -> "ConnectionStatus":
        await connections.status(db, name, configured)
        if dropped is None:
            await connections.resume(db, name, by, request, broadcaster)
        await session.notify(db, OUTBOUND, INBOUND)
        return await connections.status(db, name, configured)

    row = _row(_run(resume_connection))
    if dropped is None:
        _show(row, output)
        return
    if output is Output.TABLE:
        print_lines(
            f"{dropped.dropped} deletes dropped, {dropped.proven} are proven and stay held."
        )
    _show(row | asdict(dropped), output)
    if dropped.proven:
        raise typer.Exit(_HELD)


@app.command("close-guard")
def close_guard(
    name: Name, reason: ReasonOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Close the delete guard after a resumption has applied held deletes.

    Deletes that still wait are held again, and the guard counts all deletes of its window.
    """
    from zenskar.ops import connections

    by = current_actor(reason)

    async def close(db: "AsyncConnection", configured: tuple[str, ...], _: "Broadcaster") -> None:
        await connections.status(db, name, configured)
        await connections.close_guard(db, name, by)

    _run(close)
    if output is Output.JSON:
        print_json({"name": name, "guard": "closed"})
    else:
        print_lines(f"The delete guard of {name} is closed.")


def _drop(name: str, by: "Actor", only: list[str] | None) -> "DroppedDeletes":
    """Fetch the object of each held delete, and drop the delete unless the object is deleted."""
    from zenskar.cli.bulk_session import with_factory
    from zenskar.ops.runs.bulk_work import BulkWork

    chosen = [session.parse_id(each) for each in only] if only else None
    return with_factory(lambda factory: BulkWork(factory, by).drop_deletes(name, chosen))


@app.command("poll")
def poll(name: Name, reason: ReasonOption = None, output: OutputOption = Output.TABLE) -> None:
    """Make the next poll of a connection's feed due now."""
    from zenskar.cli.bulk_session import with_factory

    by = current_actor(reason)
    with_factory(lambda factory: factory.prompter().poll(name, by))
    if output is Output.JSON:
        print_json({"name": name, "due": "now"})
    else:
        print_lines(f"The feed of {name} is read within seconds.")


@app.command("check")
def check(name: Name, reason: ReasonOption = None, output: OutputOption = Output.TABLE) -> None:
    """Ask the external system whether it accepts the credentials. Exits with 1 when not."""
    from zenskar.cli.bulk_session import with_factory

    by = current_actor(reason)
    health = with_factory(lambda factory: factory.prompter().check(name, by))
    if output is Output.JSON:
        print_json({"name": name, "ok": health.ok, "detail": health.detail})
    else:
        verdict = "accepts the credentials" if health.ok else "does not accept the credentials"
        print_lines(f"{name} {verdict}{f': {health.detail}' if health.detail else ''}.")
    if not health.ok:
        raise typer.Exit(1)


@app.command("held")
def held(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the oldest.")] = 100,
    look: Annotated[
        bool, typer.Option("--look", help="Fetch each object, and show whether it still exists.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the deletes that the delete guard holds back, and their records."""

    from zenskar.ops import connections

    async def read(
        db: "AsyncConnection", configured: tuple[str, ...], _: "Broadcaster"
    ) -> connections.HeldDeletes:
        await connections.status(db, name, configured)
        return await connections.held_exactly(db, name, limit)

    found = _run(read)
    states = _look(name, found.oldest) if look else {}
    rows = [asdict(each) | {"object": states.get(each.external_id)} for each in found.oldest]
    if output is Output.JSON:
        print_json({"data": rows, "total": found.total})
        return
    print_table(_HELD_COLUMNS | ({"object": "OBJECT NOW"} if look else {}), rows)
    print_lines(f"{found.total} deletes are held at {name}.")


def _look(name: str, waiting: "Sequence[HeldDelete]") -> "Mapping[str, ObjectState]":
    from zenskar.cli.bulk_session import with_factory

    return with_factory(lambda factory: factory.held_delete_dropper().look(name, waiting))


def _run(
    operation: "Callable[[AsyncConnection, tuple[str, ...], Broadcaster], Awaitable[T]]",
    off: dict[str, str] | None = None,
) -> T:
    """Run an operation in a transaction, and announce its effects to the broadcast plugins.

    `off` receives the connections that cannot be used, with the problem of each.
    """
    from zenskar.cli.data_folder import DataFolder
    from zenskar.plugins.broadcasts import Broadcaster
    from zenskar.plugins.configuration import configure
    from zenskar.plugins.discovery import broadcast_plugins, discover

    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    running = DataFolder(settings.data_dir).running() if settings.database_url is None else None
    sandboxes = tuple(running.sandboxes) if running else ()
    plugins = discover()
    connected = configure(plugins, settings, environment)
    if off is not None:
        off |= {name: c.problem for name, c in connected.items() if c.problem}
    configured = (*connected, *sandboxes)
    broadcaster = Broadcaster(broadcast_plugins(plugins))

    async def run() -> T:
        from zenskar.db.driver.engine import in_transaction

        async with session.open_current(settings) as engine:
            try:
                return await in_transaction(engine, lambda c: operation(c, configured, broadcaster))
            finally:
                await broadcaster.close()

    return asyncio.run(run())


def _row(status: "ConnectionStatus", off: Mapping[str, str] | None = None) -> dict[str, Any]:
    row = asdict(status.state) | asdict(status.backlog) | {"polled_at": status.polled_at}
    row["pause_note"] = status.pause_note
    row["call_limits"] = [asdict(each) for each in status.call_limits]
    del row["held_seconds"]
    if not status.configured:
        row["state"] = "not configured"
    if off and (problem := off.get(status.state.name)):
        row |= {"state": "off", "reason": problem}
    return row


def _show(row: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        print_json(row)
    else:
        print_lines(f"The connection {row['name']} is {row['state']}.")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row for the table, with the use of the limit with the longest period."""
    oldest = row["oldest_seconds"]
    longest = max(row["call_limits"], key=lambda each: each["seconds"], default=None)
    calls = longest and f"{longest['used']}/{longest['calls']} in {longest['seconds']:g} s"
    return {**row, "oldest_seconds": None if oldest is None else round(oldest), "calls": calls}
