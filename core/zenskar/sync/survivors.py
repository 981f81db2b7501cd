"""Look at the duplicates of a record that has ended: what lives on is a record of its own."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import duplicates
from zenskar.sync.fanout import LookRequest
from zenskar.sync.unit_of_work import UnitOfWork


class Cause(NamedTuple):
    """The sync event that ended a record, and the request that this goes back to."""

    correlation_id: str
    event_id: str


async def looks(
    db: AsyncConnection, work: UnitOfWork, causes: Mapping[str, Cause]
) -> list[LookRequest]:
    """Return the looks at duplicates of records whose objects have just gone, once it is stored."""
    ended = work.ended & causes.keys()
    if not ended:
        return []
    found = await duplicates.of_records(db, work.name, work.entity_type, ended)
    return [
        LookRequest(
            work.name,
            work.entity_type,
            external_id,
            causes[record_id].correlation_id,
            causes[record_id].event_id,
        )
        for record_id, external_id in found
    ]
