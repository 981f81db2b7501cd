"""Where records stand at the external systems, for reading only."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.mappings import names_of
from zenskar.model.fields import Fields, keep
from zenskar.model.record import MappingState


@dataclass(frozen=True, slots=True)
class Link:
    """A record's mapping at one source system. `settled`: nothing is being asked or written.

    `carried` names the fields that the base is about, None when it is about all.
    """

    source_system: str
    external_id: str
    state: MappingState
    synced_version: int | None
    base: Fields
    settled: bool
    carried: frozenset[str] | None = None

    def shows(self, fields: Fields) -> bool:
        """Whether the external object is known to hold these fields, as far as it carries them."""
        return self.base == (fields if self.carried is None else keep(self.carried, fields))


# A push of unknown outcome does not count: the fetch that it raised does, and after that fetch
# it may stay unanswered for ever.
_LINKS = text("""
    SELECT CAST(m.entity_id AS text) AS entity_id, m.source_system, m.external_id, m.state,
           m.synced_version, m.base, m.carried,
           m.fetch_revision IS NULL AND NOT EXISTS (
               SELECT 1 FROM push_intents AS i
               WHERE i.entity_id = m.entity_id AND i.source_system = m.source_system
                 AND i.entity_type = m.entity_type AND i.state = 'sent') AS settled
    FROM external_mappings AS m
    WHERE m.entity_type = :entity_type AND m.entity_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY m.source_system, m.state = 'active' DESC, m.updated_at DESC
""")


async def of_records(
    db: AsyncConnection, entity_type: str, entity_ids: Sequence[str]
) -> dict[str, dict[str, Link]]:
    """Return by record and source system the live mapping, or else the newest tombstone."""
    found: dict[str, dict[str, Link]] = defaultdict(dict)
    rows = await db.execute(_LINKS, {"entity_type": entity_type, "ids": list(entity_ids)})
    for row in rows:
        link = Link(
            row.source_system,
            row.external_id,
            MappingState(row.state),
            row.synced_version,
            row.base,
            row.settled,
            names_of(row.carried),
        )
        found[row.entity_id].setdefault(link.source_system, link)
    return found
