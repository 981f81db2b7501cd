"""Erase the personal data of a customer, after a count of what is erased."""

from zenskar.api.http.clients import client_address
from zenskar.console.page import Action, Done, Preview, Visit
from zenskar.console.pages.records import address_of, record_of
from zenskar.errors import NotFound
from zenskar.model.actor import Actor
from zenskar.model.fields import CUSTOMER
from zenskar.model.scope import Scope


async def preview(visit: Visit) -> Preview:
    """Count the rows that would be erased, and name the external objects that stay."""
    record_id = _customer(visit)
    by = Actor(visit.operator.name, client_address(visit.request), None)
    found = await visit.services.operations.eraser().erase(record_id, by, dry_run=True)
    return Preview(
        "Erase this customer?",
        "Its personal data is removed from every table, and only its id stays. This cannot be "
        "undone. Backups and the external systems keep theirs: erase it there too.",
        "Erase permanently",
        address_of(visit),
        counts=[
            ("Customer", record_id),
            *((f"Rows of {table}", f"{count:,}") for table, count in found.rows.items() if count),
        ],
        details=[
            f"{each['source_system']} keeps its object {each['external_id']}"
            for each in found.external
        ],
        dangerous=True,
    )


async def erase(visit: Visit) -> Done:
    """Erase the customer."""
    found = await visit.services.operations.eraser().erase(_customer(visit), visit.actor)
    rows = sum(found.rows.values())
    return Done(f"The customer is erased: {rows:,} rows.", address_of(visit))


def _customer(visit: Visit) -> str:
    entity_type, record_id = record_of(visit)
    if entity_type != CUSTOMER.entity_type:
        raise NotFound("there is no customer at this address")
    return record_id


ACTION = Action("/records/{entity}/{id}/erase", preview, erase, "/records", Scope.ADMIN)
