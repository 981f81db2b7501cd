"""The jobs that outbound messages request, and the units of work that jobs share."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Delivery
from zenskar.model.envelope import Envelope
from zenskar.model.observation import Observation
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import Cause
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PushJob:
    """A job to make one connection equal to one record. `changed_at` is in Unix seconds.

    With an `external_id`, the job is to fetch that external object, which has no record yet.
    `delivery` is the message that requested the job.
    """

    event_id: str
    source: str
    entity_type: str
    record_id: str
    correlation_id: str
    changed_at: float
    delivery: Delivery
    external_id: str | None = None
    traceparent: str | None = None

    @property
    def subject(self) -> str:
        """The id of the record, or of an external object without a record."""
        return self.external_id or self.record_id

    @property
    def cause(self) -> Cause:
        """The sync event of the job, as the cause of other changes."""
        return Cause(self.correlation_id, self.event_id, self.traceparent)

    @classmethod
    def of(cls, envelope: Envelope, delivery: Delivery) -> "PushJob":
        """Read a valid outbound envelope."""
        data = envelope.data
        return cls(
            event_id=envelope.id,
            source=data["source_system"],
            entity_type=data["entity_type"],
            record_id=data.get("entity_id", ""),
            correlation_id=envelope.correlation_id,
            changed_at=datetime.fromisoformat(envelope.time).timestamp(),
            delivery=delivery,
            external_id=data.get("external_id"),
            traceparent=envelope.traceparent,
        )


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
