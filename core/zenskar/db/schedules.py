"""The due times of periodic jobs, so that one process of many runs each."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# A single statement: every worker looks at every job every few seconds. Only a due run writes.
_TAKE = text("""
    WITH taken AS (
        UPDATE schedules SET due_at = now() + make_interval(secs => :every)
        WHERE name = :name AND due_at <= now()
        RETURNING state
    ), added AS (
        INSERT INTO schedules (name, due_at)
        SELECT :name, now() + make_interval(secs => :every)
        WHERE NOT EXISTS (SELECT FROM schedules WHERE name = :name)
        ON CONFLICT DO NOTHING
        RETURNING state
    )
    SELECT state FROM taken UNION ALL SELECT state FROM added
""")

_HURRY = text("""
    INSERT INTO schedules (name, state) VALUES (:name, coalesce(CAST(:state AS jsonb), '{}'))
    ON CONFLICT (name) DO UPDATE
    SET due_at = now(), state = coalesce(CAST(:state AS jsonb), schedules.state)
""")

_HOLD = text(
    "UPDATE schedules SET due_at = now() + make_interval(secs => :held) WHERE name = :name"
)

_STATE = text("SELECT state FROM schedules WHERE name = :name")

_SAVE = text("UPDATE schedules SET state = CAST(:state AS jsonb) WHERE name = :name")


async def take(db: AsyncConnection, name: str, every_seconds: float) -> Any:
    """Claim a due run for this process and return the state that the last run stored.

    Returns None when the run is not due. A crashed run is due again after the usual time.
    """
    return await db.scalar(_TAKE, {"name": name, "every": every_seconds})


async def state(db: AsyncConnection, name: str) -> dict[str, Any]:
    """Return the state that the last run stored, empty before the first run."""
    return await db.scalar(_STATE, {"name": name}) or {}


async def save(db: AsyncConnection, name: str, state: dict[str, Any]) -> None:
    """Store a state for the next run."""
    await db.execute(_SAVE, {"name": name, "state": state})


async def hurry(db: AsyncConnection, name: str, state: dict[str, Any] | None = None) -> None:
    """Make a run due now, with this state, or with the state of the last run."""
    await db.execute(_HURRY, {"name": name, "state": state})


async def hold(db: AsyncConnection, name: str, seconds: float) -> None:
    """Prevent other processes from starting the same run for `seconds`."""
    await db.execute(_HOLD, {"name": name, "held": seconds})
