"""The held deletes: the records that the delete guard protects, and the decisions about them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.console.page import (
    READ_SECONDS,
    ROOT,
    Action,
    ConsolePage,
    Done,
    Preview,
    Visit,
    within,
)
from zenskar.console.pages.records import address_of, record_of
from zenskar.db.connections import DELETE_GUARD
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.held_deletes import HeldDelete
from zenskar.errors import InvalidInput
from zenskar.ids import is_id, new_id
from zenskar.model.operator_run import RunKind
from zenskar.model.scope import Scope
from zenskar.ops import connections
from zenskar.ops.connections import ConnectionStatus, HeldDeletes
from zenskar.ops.drop_deletes import ObjectState
from zenskar.ops.runs import run_requests
from zenskar.ops.runs.run_requests import RunRequest

SECTION = "/held-deletes"
_MOST, _LOOKED = 100, 20
_SECONDS = 25.0
"""The objects are fetched on request."""


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page: a connection, or all that hold deletes."""
    chosen, services = visit.filter("source"), visit.services

    async def load(db: AsyncConnection) -> list[tuple[ConnectionStatus, HeldDeletes]]:
        statuses = await connections.statuses(db, services.router.sources)
        guarded = [each for each in statuses if each.state.reason == DELETE_GUARD]
        wanted = [each for each in guarded if chosen in {None, each.state.name}]
        return [(each, await connections.held(db, each.state.name, _MOST)) for each in wanted]

    async with within(READ_SECONDS):
        held = await in_transaction(services.engine, load)
    return {
        "held": [(each.state, found, await _look(visit, each, found)) for each, found in held],
        "looked": _LOOKED,
        "chosen": chosen,
    }


async def _look(
    visit: Visit, status: ConnectionStatus, held: HeldDeletes
) -> Mapping[str, ObjectState]:
    """Fetch the first objects if the operator asks for that."""
    if visit.filter("look") != status.state.name or not visit.operator.writes:
        return {}
    dropper = visit.services.operations.held_delete_dropper()
    waiting: list[HeldDelete] = list(held.oldest[:_LOOKED])
    return await dropper.look(status.state.name, waiting)


async def preview_drop(visit: Visit) -> Preview:
    """Show how many deletes would be looked at."""
    name, chosen = visit.part("name"), _chosen(visit)
    visit.services.router.owner(name)
    held = await in_transaction(
        visit.services.engine, lambda c: connections.held_exactly(c, name, 5)
    )
    count = 1 if chosen else held.total
    return Preview(
        "Drop this delete?" if chosen else f"Drop the held deletes of {name}?",
        "Each object is fetched first. A delete is dropped unless its object is proven deleted, "
        "and the connection is resumed when none is left. It runs in the background.",
        "Drop",
        f"{ROOT}{SECTION}?source={name}",
        counts=[("Held deletes", f"{held.total:,}"), ("Looked at", f"{count:,}")],
        details=[] if chosen else [each.external_id for each in held.oldest],
        refusal="" if held.total else f"{name} holds no deletes any more.",
    )


async def drop(visit: Visit) -> Done:
    """Request the run that drops deletes."""
    name, chosen, by = visit.part("name"), _chosen(visit), visit.actor
    ids = (chosen,) if chosen else None
    request = RunRequest(RunKind.DROP_DELETES, name, event_ids=ids)
    run_requests.check_target(visit.services.router, request)
    run = await in_transaction(
        visit.services.engine, lambda c: run_requests.request_run(c, request, by)
    )
    return Done("The objects are fetched. This page shows the progress.", f"{ROOT}/runs/{run.id}")


def _chosen(visit: Visit) -> str | None:
    """Return the id of the chosen delete, None for all. Raises `InvalidInput` for another text."""
    chosen = visit.filter("event")
    if chosen is not None and not is_id(chosen):
        raise InvalidInput("event: must be the id of a sync event")
    return chosen


async def preview_undelete(visit: Visit) -> Preview:
    """Name the record that is restored."""
    _, record_id = record_of(visit)
    return Preview(
        "Undelete this record?",
        "Its external objects are fetched. A living object is linked again, a new one replaces an "
        "object that is proven deleted.",
        "Undelete",
        address_of(visit),
        counts=[("Record", record_id)],
    )


async def undelete(visit: Visit) -> Done:
    """Restore the record."""
    entity_type, record_id = record_of(visit)
    links = await visit.services.operations.undeleter().undelete(
        entity_type, record_id, visit.actor, new_id()
    )
    states = ", ".join(f"{each.source_system} {each.state.replace('_', ' ')}" for each in links)
    return Done(f"The record is back. {states}".strip(), address_of(visit))


PAGE = ConsolePage(
    SECTION, "held_deletes.html", read, menu="Held deletes", icon="held", seconds=_SECONDS
)
ACTIONS = (
    Action(f"{SECTION}/{{name}}/drop", preview_drop, drop, SECTION, Scope.ADMIN),
    Action("/records/{entity}/{id}/undelete", preview_undelete, undelete, "/records", Scope.ADMIN),
)
