"""Compare records with their external objects, without changing either."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings, reconcile_runs, records
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.kernel import is_former
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import ExternalMapping
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.drift import (
    Drift,
    DriftKind,
    drift_of_hidden_object,
    drift_of_object,
    drift_of_unmapped_record,
)
from zenskar.sync.reconcile.publisher import NotRead, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, Snapshot, together
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork

T = TypeVar("T")
OF_ONE_OBJECT = frozenset(
    {
        FailureKind.REJECTED,
        FailureKind.GONE,
        FailureKind.NOT_VISIBLE,
        FailureKind.STALE_VERSION,
        FailureKind.EXISTS,
        FailureKind.BUG,
    }
)
"""Failures that concern one object, so that the next call may succeed."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of a comparison; `snapshots` and `seen` show the objects by external id.

    `drifts` are the differences, apart from those `under_way`, which workers are about to remove.
    `outside` counts the records that the filter of the connection excludes.
    """

    drifts: tuple[Drift, ...] = ()
    under_way: tuple[Drift, ...] = ()
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    not_read: tuple[NotRead, ...] = ()
    seen: Mapping[str, Observation] = field(default_factory=dict)
    outside: int = 0


@dataclass(frozen=True, slots=True)
class AbsentObjects:
    """Objects that are proven deleted, not visible, or not readable."""

    deleted: tuple[str, ...]
    hidden: tuple[str, ...]
    not_read: tuple[NotRead, ...]


class Comparator:
    """Applies snapshots with the kernel, in transactions that are rolled back.

    Methods that call the external system raise `CallFailed` when the system fails, but not when
    only one object does.
    """

    def __init__(
        self,
        context: SyncContext,
        reader: ExternalReader,
        publisher: SnapshotPublisher,
        *,
        stale_seconds: float,
    ) -> None:
        """Take an event without a change for `stale_seconds` as abandoned."""
        self._context = context
        self._reader = reader
        self._publisher = publisher
        self._stale = stale_seconds

    async def dry_run(
        self,
        source: str,
        entity_type: str,
        snapshots: Iterable[Snapshot],
        decide: Callable[[UnitOfWork, Observation], T],
    ) -> list[T | NotRead]:
        """Return the decision on each snapshot, or the reason why it cannot be read."""
        read = [self._publisher.observation(source, s, ObservationKind.LIST) for s in snapshots]
        seen = [each for each in read if isinstance(each, Observation)]

        async def decide_all(db: AsyncConnection) -> list[T | NotRead]:
            loaded = await self._load(db, source, entity_type, seen)
            decided = [decide(loaded, x) if isinstance(x, Observation) else x for x in read]
            await db.rollback()
            return decided

        return await in_transaction(self._context.engine, decide_all)

    async def missing(
        self, source: str, entity_type: str, external_ids: Sequence[str]
    ) -> AbsentObjects:
        """Fetch objects and return those that are absent."""
        snapshots, hidden, failed = await self._fetch(source, entity_type, external_ids)
        deleted = tuple(name for name, each in snapshots.items() if each.seen.data is None)
        return AbsentObjects(deleted, hidden, failed)

    async def objects(self, source: str, entity_type: str, external_ids: Sequence[str]) -> Findings:
        """Fetch objects and compare them with their records."""
        before = await self._known(source, entity_type, external_ids)
        snapshots, hidden, failed = await self._fetch(source, entity_type, external_ids)
        read = [self._observation(source, s, before.get(name)) for name, s in snapshots.items()]
        seen = [each for each in read if isinstance(each, Observation)]
        not_read = (*failed, *(each for each in read if isinstance(each, NotRead)))

        async def compare(db: AsyncConnection) -> Findings:
            loaded = await self._load(db, source, entity_type, seen, hidden=hidden)
            moved = {
                name
                for name, mapping in loaded.mappings.items()
                if name not in before or mapping.revision != before[name].revision
            }
            found = [drift_of_object(loaded, each) for each in seen]
            drifts = [each for each in found if isinstance(each, Drift)]
            drifts += [d for name in hidden if (d := drift_of_hidden_object(loaded, name))]
            return await self._sort(db, source, drifts, moved)

        found = await in_transaction(self._context.engine, compare)
        observed = {each.external_id: each for each in seen}
        return Findings(found.drifts, found.under_way, snapshots, not_read, observed)

    async def records(self, source: str, entity_type: str, record_ids: Sequence[str]) -> Findings:
        """Find objects of records without a mapping, and compare them.

        A record that waits for a look at its former object is compared with that object.
        """
        outside = await self._outside(source, entity_type, record_ids)
        inside = [each for each in record_ids if each not in outside]
        busy = await self._busy(source, inside)
        waiting = tuple(Drift(DriftKind.MISSING_THERE, None, i) for i in inside if i in busy)
        quiet = [each for each in inside if each not in busy]
        answers, failed = await self._find(source, entity_type, quiet)
        read = {i: self._observation(source, each) for i, each in answers.items() if each}
        seen = {i: each for i, each in read.items() if isinstance(each, Observation)}
        not_read = (*failed, *(each for each in read.values() if isinstance(each, NotRead)))
        compared = [i for i in answers if i not in read or i in seen]
        hidden = await self._hidden(source, entity_type, compared)

        async def compare(db: AsyncConnection) -> Findings:
            loaded = await self._load(db, source, entity_type, seen.values(), compared)
            found = [
                drift_of_hidden_object(loaded, hidden[i])
                if i in hidden
                else drift_of_unmapped_record(loaded, i, seen.get(i))
                for i in compared
            ]
            return await self._sort(db, source, [each for each in found if each is not None])

        result = await in_transaction(self._context.engine, compare)
        snapshots = {each.seen.external_id: each for each in answers.values() if each}
        under_way = (*waiting, *result.under_way)
        observed = {each.external_id: each for each in seen.values()}
        return Findings(result.drifts, under_way, snapshots, not_read, observed, len(outside))

    async def _hidden(
        self, source: str, entity_type: str, record_ids: Sequence[str]
    ) -> dict[str, str]:
        """Return by record id the former objects that are not visible."""

        async def read(db: AsyncConnection) -> dict[str, str]:
            loaded = await self._load(db, source, entity_type, (), record_ids)
            await db.rollback()
            known = ((i, loaded.by_record.get(i)) for i in record_ids)
            return {i: m.external_id for i, m in known if m is not None and is_former(m)}

        former = await in_transaction(self._context.engine, read)
        _, hidden, _ = await self._fetch(source, entity_type, list(former.values()))
        return {i: name for i, name in former.items() if name in hidden}

    async def _outside(
        self, source: str, entity_type: str, record_ids: Sequence[str]
    ) -> frozenset[str]:
        """Return the records that the filter of a connection excludes."""
        connected = self._context.connections[source]
        if entity_type not in connected.filters:
            return frozenset()

        async def read(db: AsyncConnection) -> frozenset[str]:
            known = await records.lock(db, entity_type, record_ids)
            await db.rollback()
            return frozenset(
                each.id
                for each in known.values()
                if not connected.travels(entity_type, each.fields)
            )

        return await in_transaction(self._context.engine, read)

    def _observation(
        self, source: str, snapshot: Snapshot, known: ExternalMapping | None = None
    ) -> Observation | NotRead:
        revision = known.revision if known is not None else None
        seen = self._publisher.observation(source, snapshot, ObservationKind.FETCH, revision)
        if isinstance(seen, NotRead) or known is None or known.entity_id is None:
            return seen
        # A mapped object belongs to the record of its mapping, whatever id it carries.
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
        """Return the snapshots, the ids that are not visible, and the unreadable objects."""
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
        seen: Iterable[Observation],
        record_ids: Iterable[str] = (),
        hidden: Iterable[str] = (),
    ) -> UnitOfWork:
        return await work_storage.load(
            db,
            self._context.connections[source],
            entity_type,
            seen=tuple(seen),
            external_ids=hidden,
            record_ids=record_ids,
        )

    async def _sort(
        self,
        db: AsyncConnection,
        source: str,
        drifts: Sequence[Drift],
        moved: Collection[str] = (),
    ) -> Findings:
        """Separate drift from changes in progress, while the records are still locked."""
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
    """Return the answers by name, and the failures that concern one object.

    Raises any other `CallFailed`.
    """
    found: dict[str, T] = {}
    failed: dict[str, Failure] = {}
    for name, answer in zip(names, answers, strict=True):
        if not isinstance(answer, CallFailed):
            found[name] = answer
        elif answer.failure.kind in OF_ONE_OBJECT:
            failed[name] = answer.failure
        else:
            raise answer
    return found, failed


def _failed(
    failure: Failure, *, external_id: str | None = None, record_id: str | None = None
) -> NotRead:
    return NotRead(failure.kind.value, external_id, record_id, failure.message)
