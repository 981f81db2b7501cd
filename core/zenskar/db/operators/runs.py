"""Runs on a whole connection that operators request, and that workers carry out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.storable import storable
from zenskar.db.operators.newest_first import newest
from zenskar.db.schema.operator_tables import operator_runs


@dataclass(frozen=True, slots=True)
class OperatorRun:
    """A run without its plan: the request, the operator, the progress and the result.

    `entity_type` is empty for a run about all entity types. `plan_of` is the run whose plan is
    applied. `problem` says why the run has not reached its end. A run is `deserted` when its worker
    has stopped or died, until another worker resumes the run.
    """

    id: str
    kind: str
    source_system: str
    entity_type: str
    options: Mapping[str, Any]
    plan_of: str | None
    by: str
    place: str
    reason: str | None
    state: str
    progress: Mapping[str, Any]
    result: Mapping[str, Any]
    problem: str | None
    has_plan: bool
    deserted: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """A selection of runs; None selects all. The times are about their request."""

    source_system: str | None = None
    kind: str | None = None
    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_PLANNED = operator_runs.c.plan.is_not(None).label("has_plan")
_UNHELD = or_(operator_runs.c.lease_until.is_(None), operator_runs.c.lease_until < func.now())
_DESERTED = and_(
    operator_runs.c.state != "waiting", operator_runs.c.ended_at.is_(None), _UNHELD
).label("deserted")
_COMPUTED = {each.name: each for each in (_PLANNED, _DESERTED)}
_COLUMNS = [
    _COMPUTED[name] if name in _COMPUTED else operator_runs.c[name]
    for name in OperatorRun.__dataclass_fields__
]

_CLAIM = text("""
    UPDATE operator_runs AS r
    SET state = CASE WHEN r.state = 'waiting' THEN 'running' ELSE r.state END,
        owner = :owner, lease_until = now() + make_interval(secs => :lease),
        started_at = coalesce(r.started_at, now())
    FROM (SELECT id FROM operator_runs
          WHERE ended_at IS NULL AND source_system = :source
            AND (lease_until IS NULL OR lease_until < now())
          ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) AS next
    WHERE r.id = next.id
    RETURNING CAST(r.id AS text) AS id
""")

_BEAT = text("""
    UPDATE operator_runs
    SET progress = CAST(:progress AS jsonb), lease_until = now() + make_interval(secs => :lease)
    WHERE id = CAST(:id AS uuid) AND owner = :owner AND ended_at IS NULL
    RETURNING state
""")

_END = text("""
    UPDATE operator_runs
    SET state = :state, result = CAST(:result AS jsonb), plan = :plan, problem = :problem,
        ended_at = now(), lease_until = NULL
    WHERE id = CAST(:id AS uuid) AND owner = :owner AND ended_at IS NULL
""")

_RELEASE = text("""
    UPDATE operator_runs SET lease_until = NULL
    WHERE id = CAST(:id AS uuid) AND owner = :owner AND ended_at IS NULL
""")

# A run that no worker holds ends at once: nobody else would end it without a worker.
_STOP = text("""
    UPDATE operator_runs AS r
    SET state = CASE WHEN free.yes THEN 'stopped' ELSE 'stopping' END,
        ended_at = CASE WHEN free.yes THEN now() END
    FROM (SELECT id, coalesce(lease_until < now(), TRUE) AS yes FROM operator_runs
          WHERE id = CAST(:id AS uuid) AND ended_at IS NULL FOR UPDATE) AS free
    WHERE r.id = free.id
    RETURNING r.id
""")


async def add(db: AsyncConnection, values: Mapping[str, Any]) -> bool:
    """Insert a run; return False while another run of the entity type is in progress."""
    statement = insert(operator_runs).values(**values).on_conflict_do_nothing()
    return (await db.execute(statement)).rowcount > 0


async def claim(
    db: AsyncConnection, source: str, owner: str, lease_seconds: float
) -> OperatorRun | None:
    """Claim the oldest run of a connection that no worker carries out, None without one."""
    values = {"source": source, "owner": owner, "lease": lease_seconds}
    run_id = await db.scalar(_CLAIM, values)
    return None if run_id is None else await read(db, run_id)


async def beat(
    db: AsyncConnection, run_id: str, owner: str, progress: Mapping[str, Any], lease_seconds: float
) -> str | None:
    """Store the progress and extend the lease; return the state, None for another owner's run."""
    values = {"id": run_id, "owner": owner, "progress": dict(progress), "lease": lease_seconds}
    found: str | None = await db.scalar(_BEAT, values)
    return found


async def end(  # noqa: PLR0913 - the columns of a result
    db: AsyncConnection,
    run_id: str,
    owner: str,
    state: str,
    *,
    result: Mapping[str, Any],
    plan: str | None = None,
    problem: str | None = None,
) -> None:
    """Store the end of a run, unless another worker has claimed the run.

    A run whose end cannot be stored would be carried out again and again.
    """
    ended = storable({"result": dict(result), "problem": problem})
    values = {"id": run_id, "owner": owner, "state": state, "plan": plan}
    await db.execute(_END, values | ended)


async def release(db: AsyncConnection, run_id: str, owner: str) -> None:
    """End the lease of a run, so that another worker claims it."""
    await db.execute(_RELEASE, {"id": run_id, "owner": owner})


async def stop(db: AsyncConnection, run_id: str) -> bool:
    """Request the stop of a run; return False for a run that has ended."""
    return await db.scalar(_STOP, {"id": run_id}) is not None


async def read(db: AsyncConnection, run_id: str) -> OperatorRun | None:
    """Return a run, None without one."""
    statement = select(*_COLUMNS).where(operator_runs.c.id == run_id)
    row = (await db.execute(statement)).one_or_none()
    return None if row is None else _run(row)


async def plan_text(db: AsyncConnection, run_id: str) -> str | None:
    """Return the plan that a run has made, as JSON text, None without one."""
    statement = select(operator_runs.c.plan).where(operator_runs.c.id == run_id)
    found: str | None = await db.scalar(statement)
    return found


async def page(
    db: AsyncConnection, wanted: RunFilter, *, most: int, before: str | None = None
) -> list[OperatorRun]:
    """Return runs, newest first, with ids below `before`."""
    rows = await newest(db, operator_runs, _COLUMNS, asdict(wanted), most=most, before=before)
    return [_run(row) for row in rows]


def _run(row: Row[Any]) -> OperatorRun:
    return OperatorRun(**row._mapping)  # noqa: SLF001 - the public name of this in SQLAlchemy
