"""`zenskar recover`."""

import asyncio
from collections.abc import AsyncIterator
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
    from zenskar.ops.recover import LostDelete
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
    moment = _moment(since)
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    report = asyncio.run(
        _recover(settings, environment, moment, current_actor(reason), apply=apply)
    )
    if output is Output.JSON:
        print_json(report)
        return
    _show(report, kafka=settings.kafka_bootstrap_servers is not None)


async def _recover(
    settings: "Settings", environment: Any, since: datetime, by: "Actor", *, apply: bool
) -> dict[str, Any]:
    from zenskar.db import api_keys, connections
    from zenskar.db.driver.engine import in_transaction
    from zenskar.ops.recover import lost_deletes

    async with session.open_current(settings) as engine:
        deletes = await lost_deletes(engine, _outbound(settings, since))
        keys = await in_transaction(engine, api_keys.read_all)
        states = await in_transaction(engine, connections.states)
    if apply and deletes:
        await _delete(settings, environment, deletes, by)
    return {
        "deleted_since": [asdict(delete) for delete in deletes],
        "deleted_again": apply,
        "api_keys": [asdict(key) for key in keys if key.revoked_at is None],
        "paused": [asdict(state) for state in states.values() if state.paused],
    }


async def _outbound(settings: "Settings", since: datetime) -> AsyncIterator[list[bytes]]:
    if settings.kafka_bootstrap_servers is None:
        return
    from zenskar.bus.kafka.history import values_since
    from zenskar.bus.kafka.options import KafkaOptions
    from zenskar.model.envelope import OUTBOUND

    async for values in values_since(KafkaOptions.of(settings), OUTBOUND, since):
        yield values


async def _delete(
    settings: "Settings", environment: Any, deletes: "list[LostDelete]", by: "Actor"
) -> None:
    """Delete through the catalog, so that each connection receives the delete."""
    from contextlib import suppress

    from zenskar.errors import NotFound
    from zenskar.ids import new_id
    from zenskar.model.operator_action import ActionKind
    from zenskar.ops.audit import AuditEntry, recorded
    from zenskar.runtime import open_runtime

    correlation_id = new_id()
    entry = AuditEntry(ActionKind.REPEAT_DELETES, by, request={"records": len(deletes)})
    async with (
        open_runtime(settings, environment, prepare=session.require_schema) as runtime,
        recorded(runtime.engine, entry),
    ):
        for delete in deletes:
            with suppress(NotFound):
                await runtime.customers.delete(delete.record_id, correlation_id=correlation_id)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"--since {text!r}: use a time such as 2030-01-31T12:00:00Z") from None
    moment = found if found.tzinfo else found.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise InvalidInput("--since: that time has not come yet")
    return moment


def _show(report: dict[str, Any], *, kafka: bool) -> None:
    deletes = report["deleted_since"]
    if deletes:
        done = "deleted again" if report["deleted_again"] else "alive again: add --apply to delete"
        print_lines(f"Deleted here since the backup, {done}:")
        print_table(_DELETES, deletes)
    elif kafka:
        print_lines("No record that was deleted here since the backup is alive.")
    else:
        print_lines("Deletes since the backup are unknown: the bus was restored with the database.")
    print_lines("", "These API keys are valid, also those that were revoked since the backup:")
    print_table(_KEYS, report["api_keys"])
    if report["paused"]:
        print_lines("", "These connections are paused, as they were at the backup:")
        print_table(_PAUSES, report["paused"])
    print_lines("", "Next, for each connection: zenskar reconcile SOURCE --repair")
