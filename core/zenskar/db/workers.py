"""Signs of life of the workers."""

from collections.abc import Iterable

from sqlalchemy import text

from zenskar.db.engines import AsyncConnection

_BEAT = text("""
    INSERT INTO workers (id, roles) VALUES (CAST(:id AS uuid), :roles)
    ON CONFLICT (id) DO UPDATE SET seen_at = now()
""")
_LEAVE = text("DELETE FROM workers WHERE id = CAST(:id AS uuid)")
_FORGET = text("DELETE FROM workers WHERE seen_at < now() - interval '1 hour'")
_ALIVE = text("""
    SELECT count(*) FROM workers WHERE seen_at > now() - make_interval(secs => :within)
""")


async def beat(connection: AsyncConnection, worker_id: str, roles: Iterable[str]) -> None:
    """Say that a worker lives, and forget those that have been silent for an hour."""
    await connection.execute(_BEAT, {"id": worker_id, "roles": ",".join(sorted(roles))})
    await connection.execute(_FORGET)


async def leave(connection: AsyncConnection, worker_id: str) -> None:
    """Say that a worker has stopped."""
    await connection.execute(_LEAVE, {"id": worker_id})


async def alive(connection: AsyncConnection, within_seconds: float) -> int:
    """Return how many workers gave a sign of life lately."""
    return int(await connection.scalar(_ALIVE, {"within": within_seconds}) or 0)
