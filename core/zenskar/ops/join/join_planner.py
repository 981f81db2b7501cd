"""Plan how two systems that are both full are joined; reads both and changes neither."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar import kernel
from zenskar.db import reconcile_runs
from zenskar.db.connections import DELETE_GUARD, PAUSED_BY_OPERATOR
from zenskar.db.driver.engine import in_transaction
from zenskar.db.reconcile_runs import FIRST_ID
from zenskar.errors import InvalidInput
from zenskar.ids import is_id, new_id
from zenskar.kernel import Candidate, Outcome, Situation
from zenskar.model.fields import Fields, apply
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import Record
from zenskar.ops.join.join_plan import AmbiguousMatch, JoinPlan, JoinStep, JoinStepKind
from zenskar.ops.join.resolve import Resolution, UnknownObject, resolve
from zenskar.ops.join.twins import find_twins
from zenskar.ops.plan_file import digest_of
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.declaration_problems import find_match_problem
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.checkpoint import check_ready
from zenskar.sync.reconcile.field_fate import FieldFate, fates_of
from zenskar.sync.reconcile.publisher import NotRead, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader
from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, silent
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork

_RECORDS = 500
_PAUSES = (DELETE_GUARD, PAUSED_BY_OPERATOR)


@dataclass(slots=True)
class _Findings:
    """The objects and records that were read so far."""

    unknown: list[UnknownObject] = field(default_factory=list)
    steps: list[JoinStep] = field(default_factory=list)
    """The steps of objects that name a record."""
    versions: dict[str, int] = field(default_factory=dict)
    """The versions of the records that may be linked."""
    external_ids: set[str] = field(default_factory=set)
    """The objects that were read; a page that shifts shows an object twice."""
    ambiguous: list[AmbiguousMatch] = field(default_factory=list)
    twins: list[AmbiguousMatch] = field(default_factory=list)
    """Records without an object that no field distinguishes from another record."""
    not_read: list[NotRead] = field(default_factory=list)
    excluded: set[str] = field(default_factory=set)
    """The objects that the filter of the connection excludes from becoming records."""
    linked: int = 0
    under_way: int = 0
    outside: int = 0


@dataclass(frozen=True, slots=True)
class JoinPlanner:
    """Reads all objects of a connection and all records without one, and plans the steps.

    The matched values of all unknown objects are in memory until the plan is made.
    """

    context: SyncContext
    accounts: AccountCheck
    reader: ExternalReader
    publisher: SnapshotPublisher

    async def plan(
        self,
        source: str,
        entity_type: str,
        *,
        match_by: tuple[str, ...] | None = None,
        on_progress: OnProgress = silent,
    ) -> JoinPlan:
        """Return the plan; `match_by` replaces the fields that the connection is configured with.

        Raises `InvalidInput` for fields that cannot be matched, `CallFailed` when the external
        system cannot be read, and the errors of `check_ready`.
        """
        account = await check_ready(
            self.context, self.accounts, source, entity_type, allowed=_PAUSES
        )
        connected = matched_by(self.context.connections[source], entity_type, match_by)
        plan_id, found = new_id(), _Findings()
        await self._read_objects(connected, entity_type, plan_id, found, on_progress)
        fields = connected.match_by.get(entity_type, ())
        named = {step.record_id for step in found.steps}
        resolution = resolve(found.unknown, fields, named)
        steps = [*found.steps, *_steps_of(resolution, found)]
        ambiguous = (*found.ambiguous, *resolution.ambiguous)
        known = {s.record_id for s in steps} | {r for a in ambiguous for r in a.record_ids}
        steps += await self._read_records(connected, entity_type, known, found)
        return JoinPlan(
            plan_id,
            source,
            entity_type,
            account,
            fields,
            tuple(steps),
            (*ambiguous, *found.twins),
            found.linked,
            found.under_way,
            tuple(asdict(each) for each in found.not_read),
            found.outside,
        )

    async def _read_objects(
        self,
        connected: ConfiguredConnection,
        entity_type: str,
        plan_id: str,
        found: _Findings,
        on_progress: OnProgress,
    ) -> None:
        source, count = connected.connection.name, 0
        async for page in self.reader.pages(source, entity_type, None):
            read = [
                self.publisher.observation(source, each, ObservationKind.LIST)
                for each in page.snapshots
            ]
            found.not_read += [each for each in read if isinstance(each, NotRead)]
            seen = [each for each in read if isinstance(each, Observation) and not each.deleted]
            await self._sort_page(connected, entity_type, plan_id, seen, found)
            count += len(page.snapshots)
            on_progress(ReconcileProgress("list", count, found=len(found.unknown)))

    async def _sort_page(
        self,
        connected: ConfiguredConnection,
        entity_type: str,
        plan_id: str,
        seen: Sequence[Observation],
        found: _Findings,
    ) -> None:
        async def sort(db: AsyncConnection) -> None:
            work = await work_storage.load(db, connected, entity_type, seen=seen)
            for each in seen:
                if each.external_id not in found.external_ids:
                    found.external_ids.add(each.external_id)
                    _sort(work, each, digest_of(plan_id, each), found)
            await db.rollback()

        await in_transaction(self.context.engine, sort)

    async def _read_records(
        self,
        connected: ConfiguredConnection,
        entity_type: str,
        known: set[str],
        found: _Findings,
    ) -> list[JoinStep]:
        """Return a create for each living record without an object, in the order of their ids."""
        steps: list[JoinStep] = []
        twins: dict[tuple[str, ...], AmbiguousMatch] = {}
        source, after = connected.connection.name, FIRST_ID

        async def read(db: AsyncConnection) -> list[str]:
            ids = await reconcile_runs.unmapped(db, source, entity_type, after, _RECORDS)
            work = await work_storage.load(
                db, connected, entity_type, record_ids=[i for i in ids if i not in known]
            )
            alike = await find_twins(db, work)
            for record in work.records.values():
                if work.has_open_create(record.id):
                    found.under_way += 1
                elif work.filtered.is_outside(record):
                    found.outside += 1
                elif record.id in alike:
                    twins[alike[record.id].record_ids] = alike[record.id]
                else:
                    kind = JoinStepKind.CREATE_THERE
                    steps.append(JoinStep(kind, record.id, record_version=record.version))
            await db.rollback()
            return ids

        while ids := await in_transaction(self.context.engine, read):
            after = ids[-1]
        found.twins += twins.values()
        return steps


def matched_by(
    connected: ConfiguredConnection, entity_type: str, match_by: tuple[str, ...] | None
) -> ConfiguredConnection:
    """Return the connection as it matches by these fields; None leaves it as it is configured.

    Raises `InvalidInput` for fields that cannot be matched.
    """
    if match_by is None:
        return connected
    kind = type(connected.integration)
    if match_by and (problem := find_match_problem(kind, entity_type, match_by)):
        raise InvalidInput(problem)
    return replace(connected, match_by={entity_type: match_by})


def _sort(work: UnitOfWork, seen: Observation, digest: str, found: _Findings) -> None:
    """Sort an object by its mapping, by the record that it names, or by its values."""
    if seen.external_id in work.mappings:
        found.linked += 1
        return
    situation = work.situation_of(seen)
    record, record_id = situation.record, seen.record_id or ""
    if not work.filtered.admits_new(seen):
        found.excluded.add(seen.external_id)
    if record is None and is_id(record_id) and seen.external_id in found.excluded:
        found.outside += 1
    elif record is None and is_id(record_id):
        step = JoinStep(JoinStepKind.CREATE_HERE, record_id, seen.external_id, digest=digest)
        found.steps.append(step)
    elif record is None:
        found.unknown.append(_unknown(work, situation, seen, digest, found))
    elif situation.rival is not None or record.deleted:
        others = () if situation.rival is None else (situation.rival.external_id,)
        found.ambiguous.append(AmbiguousMatch((*others, seen.external_id), (record.id,)))
    elif work.has_open_create(record.id):
        found.under_way += 1
    else:
        fates = _fates(work, situation, record, seen)
        found.versions[record.id] = record.version
        found.steps.append(_link(record, seen.external_id, digest, fates))


def _unknown(
    work: UnitOfWork, situation: Situation, seen: Observation, digest: str, found: _Findings
) -> UnknownObject:
    paths = [f"/{name}" for name in work.search.match_by]
    candidates, fates = [], {}
    for each in situation.candidates:
        if each.free:
            fates[each.record.id] = _fates(work, situation, each.record, seen)
            found.versions[each.record.id] = each.record.version
        candidates.append(Candidate(_only(each.record, paths), each.free))
    fields = {path: value for path, value in (seen.fields or {}).items() if path in paths}
    return UnknownObject(seen.external_id, digest, fields, tuple(candidates), fates)


def _only(record: Record, paths: Sequence[str]) -> Record:
    fields: Fields = {path: v for path, v in record.fields.items() if path in paths}
    return replace(record, fields=fields)


def _fates(
    work: UnitOfWork, situation: Situation, record: Record, seen: Observation
) -> dict[str, FieldFate]:
    """Return the effect of a link on the fields, without changing the unit of work."""
    joined = replace(situation, record=record, candidates=(), intents=())
    named = replace(seen, record_id=record.id)
    policy = work.source.merge_policy
    return link_fates(work, record, kernel.observe(joined, named, policy, new_record_id=""))


def link_fates(work: UnitOfWork, record: Record, outcome: Outcome) -> dict[str, FieldFate]:
    """Return the fate of each field of a record that an outcome links; changes nothing.

    No field of a record that stays outside of the filter changes.
    """
    if work.filtered.stays_outside(record, outcome):
        return {}
    after: Fields = apply(record.fields, outcome.record_changes)
    if work.coverage is not None and outcome.mapping is not None:
        after = work.coverage.pushed(after, outcome.mapping.base)
    return fates_of(outcome, after)


def _steps_of(resolution: Resolution, found: _Findings) -> list[JoinStep]:
    links = [
        JoinStep(
            JoinStepKind.LINK,
            record_id,
            each.external_id,
            found.versions[record_id],
            each.digest,
            each.fates[record_id],
        )
        for each, record_id in resolution.links
    ]
    new = [each for each in resolution.new if each.external_id not in found.excluded]
    found.outside += len(resolution.new) - len(new)
    creates = [
        JoinStep(JoinStepKind.CREATE_HERE, new_id(), each.external_id, digest=each.digest)
        for each in new
    ]
    return [*links, *creates]


def _link(record: Record, external_id: str, digest: str, fates: dict[str, FieldFate]) -> JoinStep:
    return JoinStep(JoinStepKind.LINK, record.id, external_id, record.version, digest, fates)
