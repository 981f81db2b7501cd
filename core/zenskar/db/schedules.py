"""When periodic work is due, so that one process of many does it."""

from typing import Any

from sqlalchemy import text

from zenskar.db.engines import AsyncConnection

_ENSURE = text("INSERT INTO schedules (name) VALUES (:name) ON CONFLICT DO NOTHING")

_TAKE = text("""
    UPDATE schedules SET due_at = now() + make_interval(secs => :every)
    WHERE name = :name AND due_at <= now()
    RETURNING state
""")

_SAVE = text("UPDATE schedules SET state = CAST(:state AS jsonb) WHERE name = :name")


async def take(connection: AsyncConnection, name: str, every_seconds: float) -> Any:
    """Return the state that the last run left if a run is due, and let nobody else have it.

    None when it is not due yet. A run that dies is due again after the usual time.
    """
    await connection.execute(_ENSURE, {"name": name})
    return await connection.scalar(_TAKE, {"name": name, "every": every_seconds})


async def save(connection: AsyncConnection, name: str, state: str) -> None:
    """Leave a state (JSON) for the next run."""
    await connection.execute(_SAVE, {"name": name, "state": state})
