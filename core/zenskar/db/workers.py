"""Heartbeats of the workers."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

ROLES = ("relay", "inbound", "outbound", "scheduler")
"""The roles that a worker may have."""


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """The machine or container of a worker, and its version of zenskar."""

    host: str
    version: str


@dataclass(frozen=True, slots=True)
class WorkerState:
    """The last heartbeat of a worker. `host` and `version` are None for an older release."""

    id: str
    roles: str
    started_at: datetime
    seen_at: datetime
    problem: str | None
    host: str | None
    version: str | None


_ALL = text("""
    SELECT CAST(id AS text) AS id, roles, started_at, seen_at, problem, host, version
    FROM workers ORDER BY started_at
""")
_BEAT = text("""
    INSERT INTO workers (id, roles, problem, host, version)
    VALUES (CAST(:id AS uuid), :roles, :problem, :host, :version)
    ON CONFLICT (id) DO UPDATE SET seen_at = now(), problem = excluded.problem
""")
_LEAVE = text("DELETE FROM workers WHERE id = CAST(:id AS uuid)")
_FORGET = text("DELETE FROM workers WHERE seen_at < now() - interval '1 hour'")
_PROBLEMS = text("""
    SELECT DISTINCT problem FROM workers
    WHERE problem IS NOT NULL AND seen_at > now() - make_interval(secs => :within) ORDER BY 1
""")
_ALIVE = text("""
    SELECT count(*) FROM workers WHERE seen_at > now() - make_interval(secs => :within)
""")
_ROLES = text("""
    SELECT role, count(*) AS alive
    FROM workers, unnest(string_to_array(roles, ',')) AS role
    WHERE seen_at > now() - make_interval(secs => :within) GROUP BY role
""")


async def beat(
    db: AsyncConnection,
    worker_id: str,
    roles: Iterable[str],
    problem: str | None = None,
    place: WorkerPlace | None = None,
) -> None:
    """Store the heartbeat and the problem of a worker; remove workers silent for an hour."""
    values = {
        "id": worker_id,
        "roles": ",".join(sorted(roles)),
        "problem": problem,
        "host": place and place.host,
        "version": place and place.version,
    }
    await db.execute(_BEAT, values)
    await db.execute(_FORGET)


async def leave(db: AsyncConnection, worker_id: str) -> None:
    """Remove a worker that has stopped."""
    await db.execute(_LEAVE, {"id": worker_id})


async def alive(db: AsyncConnection, within_seconds: float) -> int:
    """Return the number of workers with a heartbeat in the last seconds."""
    return int(await db.scalar(_ALIVE, {"within": within_seconds}) or 0)


async def problems(db: AsyncConnection, within_seconds: float) -> list[str]:
    """Return the problems of the workers with a heartbeat in the last seconds."""
    return list(await db.scalars(_PROBLEMS, {"within": within_seconds}))


async def roles(db: AsyncConnection, within_seconds: float) -> dict[str, int]:
    """Return the number of workers with a heartbeat in the last seconds, by role."""
    rows = await db.execute(_ROLES, {"within": within_seconds})
    return {row.role: row.alive for row in rows}


async def read_all(db: AsyncConnection) -> list[WorkerState]:
    """Return the workers with a heartbeat in the last hour, also those that are gone."""
    return [WorkerState(**row._mapping) for row in await db.execute(_ALL)]  # noqa: SLF001 - public
