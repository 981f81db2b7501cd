"""Load the units of work of jobs: one for each source system and entity type."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.model.observation import Observation
from zenskar.sync.context import SyncContext
from zenskar.sync.outbound.job import PushJob
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork

T = TypeVar("T")


def by_unit(items: Iterable[T], job_of: Callable[[T], PushJob]) -> Iterable[list[T]]:
    """Group items whose jobs share a unit of work."""
    groups: dict[tuple[str, str], list[T]] = defaultdict(list)
    for item in items:
        job = job_of(item)
        groups[job.source, job.entity_type].append(item)
    return (groups[unit] for unit in sorted(groups))


async def load_unit(
    db: AsyncConnection,
    context: SyncContext,
    jobs: Sequence[PushJob],
    external_ids: Sequence[str] = (),
    seen: Sequence[Observation] = (),
) -> UnitOfWork:
    """Lock and load the records of jobs that share a unit, with these objects and observed ones."""
    return await work_storage.load(
        db,
        context.connections[jobs[0].source],
        jobs[0].entity_type,
        record_ids=[job.record_id for job in jobs],
        external_ids=external_ids,
        seen=seen,
    )
