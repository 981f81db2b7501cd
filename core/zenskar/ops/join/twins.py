"""Find records without an object that may be the same as another record."""

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings, records
from zenskar.kernel.match import MOST_CANDIDATES, is_same
from zenskar.model.record import Record
from zenskar.ops.join.join_plan import AmbiguousMatch
from zenskar.sync.work.unit_of_work import UnitOfWork


async def find_twins(db: AsyncConnection, work: UnitOfWork) -> dict[str, AmbiguousMatch]:
    """Return by record id the other records with equal values, and their objects.

    A further field with another value distinguishes two records.
    """
    if not work.search.match_by:
        return {}
    first, *further = work.search.match_by
    values = {i: str(r.fields[f"/{first}"]) for i, r in work.records.items() if _has(r, first)}
    alike = await records.find_alike(
        db, work.entity_type, first, values.values(), most=MOST_CANDIDATES
    )
    others = {i for ids in alike.values() if len(ids) > 1 for i in ids}
    known = await records.lock(db, work.entity_type, others)
    found = {}
    for record_id, value in values.items():
        same = [known[i] for i in alike.get(value, ()) if i in known]
        group = [each for each in same if _is_alike(known[record_id], each, first, further)]
        if len(group) > 1:
            found[record_id] = await _match(db, work, [each.id for each in group])
    return found


def _has(record: Record, name: str) -> bool:
    return f"/{name}" in record.fields


def _is_alike(one: Record, other: Record, first: str, further: list[str]) -> bool:
    if not is_same(one.fields, other.fields, first):
        return False
    return all(is_same(one.fields, other.fields, name) is not False for name in further)


async def _match(db: AsyncConnection, work: UnitOfWork, record_ids: list[str]) -> AmbiguousMatch:
    links = await mappings.of_records(db, work.entity_type, record_ids)
    objects = (by_source.get(work.name) for by_source in links.values())
    external_ids = sorted(link.external_id for link in objects if link is not None)
    return AmbiguousMatch(tuple(external_ids), tuple(sorted(record_ids)))
