"""Compare records with their objects, without changing either."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings, reconcile_runs
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import ExternalMapping
from zenskar.sync import unit_of_work
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.drift import Drift, DriftKind, judge, judge_hidden, judge_unmapped
from zenskar.sync.reconcile.publisher import NotRead, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, Snapshot, together
from zenskar.sync.unit_of_work import UnitOfWork

T = TypeVar("T")
_OF_ONE_OBJECT = frozenset(
    {FailureKind.REJECTED, FailureKind.GONE, FailureKind.NOT_VISIBLE, FailureKind.BUG}
)
"""Failures that say nothing of the next call."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Differences that stay; those that somebody works on; looks by external id; and the rest."""

    drifts: tuple[Drift, ...] = ()
    under_way: tuple[Drift, ...] = ()
    looks: Mapping[str, Snapshot] = field(default_factory=dict)
    not_read: tuple[NotRead, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """Objects that are proven deleted, that are not visible, and that cannot be read."""

    deleted: tuple[str, ...]
    hidden: tuple[str, ...]
    not_read: tuple[NotRead, ...]


class Comparator:
    """Lets the kernel judge looks, in transactions that are rolled back."""

    def __init__(
        self,
        context: SyncContext,
        reader: ExternalReader,
        publisher: SnapshotPublisher,
        *,
        stale_seconds: float,
    ) -> None:
        """After `stale_seconds` without a step, nobody works on an event any more."""
        self._context = context
        self._reader = reader
        self._publisher = publisher
        self._stale = stale_seconds

    async def dry_run(
        self,
        source: str,
        entity_type: str,
        looks: Iterable[Snapshot],
        decide: Callable[[UnitOfWork, Observation], T],
    ) -> list[T | NotRead]:
        """Return for each look, in their order, what it tells, or why it cannot be read."""
        read = [self._publisher.observation(source, look, ObservationKind.LIST) for look in looks]
        seen = [each for each in read if isinstance(each, Observation)]

        async def work(db: AsyncConnection) -> list[T | NotRead]:
            loaded = await self._load(db, source, entity_type, seen)
            decided = [decide(loaded, x) if isinstance(x, Observation) else x for x in read]
            await db.rollback()
            return decided

        return await in_transaction(self._context.engine, work)

    async def missing(self, source: str, entity_type: str, external_ids: Sequence[str]) -> Absent:
        """Fetch objects and return those that are not there."""
        looks, hidden, failed = await self._fetch(source, entity_type, external_ids)
        deleted = tuple(name for name, look in looks.items() if look.seen.data is None)
        return Absent(deleted, hidden, failed)

    async def objects(self, source: str, entity_type: str, external_ids: Sequence[str]) -> Findings:
        """Fetch objects and compare them with their records."""
        before = await self._known(source, entity_type, external_ids)
        looks, hidden, failed = await self._fetch(source, entity_type, external_ids)
        read = [self._observation(source, look, before.get(name)) for name, look in looks.items()]
        seen = [each for each in read if isinstance(each, Observation)]
        not_read = (*failed, *(each for each in read if isinstance(each, NotRead)))

        async def work(db: AsyncConnection) -> Findings:
            loaded = await self._load(db, source, entity_type, seen, hidden=hidden)
            moved = {
                name
                for name, mapping in loaded.mappings.items()
                if name not in before or mapping.revision != before[name].revision
            }
            drifts = [drift for each in seen if (drift := judge(loaded, each))]
            drifts += [drift for name in hidden if (drift := judge_hidden(loaded, name))]
            return await self._sort(db, source, drifts, moved)

        found = await in_transaction(self._context.engine, work)
        return Findings(found.drifts, found.under_way, looks, not_read)

    async def records(self, source: str, entity_type: str, record_ids: Sequence[str]) -> Findings:
        """Look for the objects of records that have none that we know of."""
        busy = await self._busy(source, record_ids)
        waiting = tuple(Drift(DriftKind.MISSING_THERE, None, i) for i in record_ids if i in busy)
        quiet = [each for each in record_ids if each not in busy]
        found, failed = await self._find(source, entity_type, quiet)
        read = {i: self._observation(source, look) for i, look in found.items() if look}
        seen = {i: each for i, each in read.items() if isinstance(each, Observation)}
        not_read = (*failed, *(each for each in read.values() if isinstance(each, NotRead)))
        judged = [i for i in found if i not in read or i in seen]

        async def work(db: AsyncConnection) -> Findings:
            loaded = await self._load(db, source, entity_type, seen.values(), judged)
            drifts = [drift for i in judged if (drift := judge_unmapped(loaded, i, seen.get(i)))]
            return await self._sort(db, source, drifts)

        sorted_out = await in_transaction(self._context.engine, work)
        looks = {look.seen.external_id: look for look in found.values() if look}
        left = (*waiting, *sorted_out.under_way)
        return Findings(sorted_out.drifts, left, looks, not_read)

    def _observation(
        self, source: str, look: Snapshot, known: ExternalMapping | None = None
    ) -> Observation | NotRead:
        revision = known.revision if known is not None else None
        seen = self._publisher.observation(source, look, ObservationKind.FETCH, revision)
        if isinstance(seen, NotRead) or known is None or known.entity_id is None:
            return seen
        # It belongs to the record that it is linked with, whatever id it carries.
        return replace(seen, record_id=None)

    async def _under_way(
        self,
        db: AsyncConnection,
        source: str,
        external_ids: Collection[str],
        record_ids: Collection[str],
    ) -> set[str]:
        return await reconcile_runs.under_way(
            db, source, external_ids, record_ids, age_seconds=self._stale
        )

    async def _busy(self, source: str, record_ids: Sequence[str]) -> set[str]:
        return await in_transaction(
            self._context.engine, lambda c: self._under_way(c, source, (), record_ids)
        )

    async def _known(
        self, source: str, entity_type: str, external_ids: Sequence[str]
    ) -> dict[str, ExternalMapping]:
        return await in_transaction(
            self._context.engine,
            lambda c: mappings.by_external_id(c, source, entity_type, external_ids),
        )

    async def _fetch(
        self, source: str, entity_type: str, external_ids: Sequence[str]
    ) -> tuple[dict[str, Snapshot], tuple[str, ...], tuple[NotRead, ...]]:
        """Return the looks, the objects that are not visible, and those that cannot be read."""
        calls = [self._reader.fetch(source, entity_type, each) for each in external_ids]
        found, failed = _answered(external_ids, await together(calls))
        hidden = tuple(n for n, f in failed.items() if f.kind is FailureKind.NOT_VISIBLE)
        unread = (_failed(f, external_id=n) for n, f in failed.items() if n not in hidden)
        return found, hidden, tuple(unread)

    async def _find(
        self, source: str, entity_type: str, record_ids: Sequence[str]
    ) -> tuple[dict[str, Snapshot | None], tuple[NotRead, ...]]:
        calls = [self._reader.find(source, entity_type, each) for each in record_ids]
        found, failed = _answered(record_ids, await together(calls))
        return found, tuple(_failed(f, record_id=name) for name, f in failed.items())

    async def _load(
        self,
        db: AsyncConnection,
        source: str,
        entity_type: str,
        seen: Collection[Observation],
        record_ids: Iterable[str] = (),
        hidden: Iterable[str] = (),
    ) -> UnitOfWork:
        return await unit_of_work.load(
            db,
            self._context.connections[source],
            entity_type,
            external_ids=[*(each.external_id for each in seen), *hidden],
            record_ids=[*record_ids, *(each.record_id for each in seen if each.record_id)],
        )

    async def _sort(
        self,
        db: AsyncConnection,
        source: str,
        drifts: Sequence[Drift],
        moved: Collection[str] = (),
    ) -> Findings:
        """Part what stays from what somebody works on, while the records are still locked."""
        external_ids = [d.external_id for d in drifts if d.external_id is not None]
        record_ids = [d.record_id for d in drifts if d.record_id is not None]
        busy = await self._under_way(db, source, external_ids, record_ids)
        busy |= set(moved)
        await db.rollback()
        working = [d for d in drifts if d.external_id in busy or d.record_id in busy]
        return Findings(tuple(d for d in drifts if d not in working), tuple(working))


def _answered(
    names: Sequence[str], answers: Sequence[T | CallFailed]
) -> tuple[dict[str, T], dict[str, Failure]]:
    """Return the answers by name, and the failures for reasons of one object alone."""
    found: dict[str, T] = {}
    failed: dict[str, Failure] = {}
    for name, answer in zip(names, answers, strict=True):
        if not isinstance(answer, CallFailed):
            found[name] = answer
        elif answer.failure.kind in _OF_ONE_OBJECT:
            failed[name] = answer.failure
        else:
            raise answer
    return found, failed


def _failed(
    failure: Failure, *, external_id: str | None = None, record_id: str | None = None
) -> NotRead:
    return NotRead(failure.kind.value, external_id, record_id, failure.message)
