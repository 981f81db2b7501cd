"""Customers as the API returns them in JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.catalog.field_limits import FieldLimits
from zenskar.db import mappings
from zenskar.db.customers import Customer
from zenskar.db.mappings import Link
from zenskar.kernel import Verdict
from zenskar.model.fields import CUSTOMER, Fields
from zenskar.model.record import MappingState
from zenskar.model.timestamps import timestamp

View = dict[str, Any]
"""A customer: `id`, each field, `version`, `created_at` and `updated_at`."""
PENDING = "pending"
"""The state of a link before the external object is known."""
MERGED = "merged"
"""The state of a link whose external object was merged into an object of another record."""
OUTSIDE = Verdict.OUTSIDE.value
"""The state of a link while the filter of the connection excludes the customer."""


class LinkView(TypedDict):
    """The state of a customer at one external system."""

    source_system: str
    external_id: str | None
    state: str
    synced_version: int | None
    in_sync: bool


def view(customer: Customer) -> View:
    """Return a customer without its links."""
    return {
        "id": customer.id,
        **customer.document,
        "version": customer.version,
        "created_at": timestamp(customer.created_at),
        "updated_at": timestamp(customer.updated_at),
    }


async def with_external(
    db: AsyncConnection, found: Sequence[Customer], owners: Sequence[str], limits: FieldLimits
) -> list[View]:
    """Return customers with `external`, a list of `LinkView`."""
    known = await mappings.of_records(db, CUSTOMER.entity_type, [c.id for c in found])
    return [
        {**view(c), "external": external(c.record.fields, known.get(c.id, {}), owners, limits)}
        for c in found
    ]


def external(
    fields: Fields, known: Mapping[str, Link], owners: Sequence[str], limits: FieldLimits
) -> list[LinkView]:
    """Return a link for each owner, and for each stored link whose connection is gone."""
    outside = limits.outside(CUSTOMER.entity_type, fields)
    gone = [source for source in known if source not in owners]
    return [
        _outside(source, known.get(source))
        if source in outside
        else _entry(source, known.get(source), fields)
        for source in (*owners, *gone)
    ]


def _outside(source: str, link: Link | None) -> LinkView:
    """Return the link of a customer that does not travel, so nothing is left to do."""
    return {
        "source_system": source,
        "external_id": link.external_id if link is not None else None,
        "state": OUTSIDE,
        "synced_version": link.synced_version if link is not None else None,
        "in_sync": True,
    }


def _entry(source: str, link: Link | None, fields: Fields) -> LinkView:
    if link is None:
        link_state, external_id, version, in_sync = PENDING, None, None, False
    else:
        link_state = MERGED if link.merged_into is not None else link.state.value
        external_id, version = link.external_id, link.synced_version
        in_sync = link.state is MappingState.ACTIVE and link.settled and link.shows(fields)
    return {
        "source_system": source,
        "external_id": external_id,
        "state": link_state,
        "synced_version": version,
        "in_sync": in_sync,
    }
