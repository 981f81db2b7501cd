"""Find the records that an unknown external object may belong to, by equal values."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import records
from zenskar.ids import is_id
from zenskar.kernel.match import MOST_CANDIDATES, normalized
from zenskar.model.fields import Fields
from zenskar.model.observation import Observation


@dataclass(slots=True)
class CandidateSearch:
    """The candidates of the unknown objects of one transaction, by the first of these fields.

    Without fields no object is matched.
    """

    match_by: tuple[str, ...]
    _stored: dict[str, set[str]] = field(default_factory=dict)
    _created: dict[Any, set[str]] = field(default_factory=dict)

    def is_matched(self, seen: Observation) -> bool:
        """Return whether an object belongs to the record with its values, if it is unknown.

        An object that names a record belongs to that record, also where the record is absent.
        """
        if not self.match_by or not seen.fields or is_id(seen.record_id or ""):
            return False
        return self._path in seen.fields

    async def find(
        self, db: AsyncConnection, entity_type: str, unknown: Iterable[Observation]
    ) -> set[str]:
        """Find the stored records, whose rows must be locked before the kernel decides."""
        values = [(s.external_id, str(s.fields[self._path])) for s in unknown if s.fields]
        if not values:
            return set()
        wanted, most = {value for _, value in values}, MOST_CANDIDATES + 1
        found = await records.find_alike(db, entity_type, self.match_by[0], wanted, most=most)
        for external_id, value in values:
            self._stored.setdefault(external_id, set()).update(found.get(value, ()))
        return {record_id for ids in found.values() for record_id in ids}

    def add_created(self, record_id: str, fields: Fields) -> None:
        """Add a record that this transaction creates, which a further object may match."""
        if self.match_by:
            self._created.setdefault(normalized(fields.get(self._path)), set()).add(record_id)

    def of(self, seen: Observation) -> list[str]:
        """Return the ids of the records that an object may belong to."""
        value = normalized((seen.fields or {}).get(self._path))
        return sorted(self._stored.get(seen.external_id, set()) | self._created.get(value, set()))

    @property
    def _path(self) -> str:
        return f"/{self.match_by[0]}"
