"""`zenskar recover`."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from zenskar.model.actor import Actor
    from zenskar.ops.recover import RecoveryReport
    from zenskar.settings import Settings

_DELETES = {"entity_type": "ENTITY", "record_id": "ID", "deleted_at": "DELETED"}
_KEYS = {"prefix": "PREFIX", "name": "NAME", "scope": "SCOPE", "created_at": "CREATED"}
_PAUSES = {"name": "CONNECTION", "reason": "PAUSED FOR", "paused_at": "SINCE"}


def recover(
    since: Annotated[str, typer.Option(help="When the backup was taken, in ISO 8601, else UTC.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Repeat the deletes since the backup.")
    ] = False,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Report the differences of a restored database: lost deletes, old API keys, old pauses.

    Deletes are read from the topic sync.outbound. The bus on PostgreSQL is part of the backup, so
    it holds no later deletes.
    """
    moment, by = _moment(since), current_actor(reason)
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    session.require_database(settings)
    found = asyncio.run(_recover(settings, environment, moment, by, apply=apply))
    report = {
        "deleted_since": [asdict(delete) for delete in found.deletes],
        "deleted_again": apply,
        "deletes_known": found.deletes_known,
        "api_keys": [asdict(key) for key in found.keys],
        "paused": [asdict(state) for state in found.paused],
    }
    if output is Output.JSON:
        print_json(report)
        return
    _show(report)


async def _recover(
    settings: "Settings", environment: Any, since: datetime, by: "Actor", *, apply: bool
) -> "RecoveryReport":
    from zenskar.cli.bulk_session import progress_bar
    from zenskar.db.schema.present import require_schema
    from zenskar.ids import new_id
    from zenskar.runtime import open_runtime

    opened = open_runtime(settings, environment, prepare=require_schema)
    async with opened as runtime:
        recovery = runtime.operations().recovery(runtime.customers.delete)
        if apply:
            with progress_bar() as on_progress:
                return await recovery.repeat_deletes(since, by, new_id(), on_progress)
        return await recovery.report(since)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"--since {text!r}: use a time such as 2030-01-31T12:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _show(report: dict[str, Any]) -> None:
    deletes = report["deleted_since"]
    if deletes:
        done = "deleted again" if report["deleted_again"] else "alive again: add --apply to delete"
        print_lines(f"Deleted here since the backup, {done}:")
        print_table(_DELETES, deletes)
    elif report["deletes_known"]:
        print_lines("No record that was deleted here since the backup is alive.")
    else:
        print_lines("Deletes since the backup are unknown: the bus was restored with the database.")
    print_lines("", "These API keys are valid, also those that were revoked since the backup:")
    print_table(_KEYS, report["api_keys"])
    if report["paused"]:
        print_lines("", "These connections are paused, as they were at the backup:")
        print_table(_PAUSES, report["paused"])
    print_lines("", "Next, for each connection: zenskar reconcile SOURCE --repair")
