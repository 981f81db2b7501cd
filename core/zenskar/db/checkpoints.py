"""The progress of long jobs, so that they continue after a crash."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_READ = text("""
    SELECT state, updated_at > now() - make_interval(secs => :age) AS fresh
    FROM checkpoints WHERE name = :name FOR UPDATE
""")

_WRITE = text("""
    INSERT INTO checkpoints (name, state) VALUES (:name, CAST(:state AS jsonb))
    ON CONFLICT (name) DO UPDATE SET state = excluded.state, updated_at = now()
""")

_UPDATE = text("""
    UPDATE checkpoints SET state = CAST(:state AS jsonb), updated_at = now()
    WHERE name = :name AND state ->> 'owner' = :owner
    RETURNING name
""")

_DELETE = text("DELETE FROM checkpoints WHERE name = :name AND state ->> 'owner' = :owner")


async def read(
    db: AsyncConnection, name: str, age_seconds: float
) -> tuple[dict[str, Any], bool] | None:
    """Return the locked state, and whether it is younger than `age_seconds`; else None."""
    row = (await db.execute(_READ, {"name": name, "age": age_seconds})).one_or_none()
    return None if row is None else (dict(row.state), bool(row.fresh))


async def write(db: AsyncConnection, name: str, state: dict[str, Any]) -> None:
    """Replace the state; its `owner` may update it from now on."""
    await db.execute(_WRITE, {"name": name, "state": state})


async def update(db: AsyncConnection, name: str, state: dict[str, Any]) -> bool:
    """Update the state; return whether its `owner` still owns it."""
    values = {"name": name, "owner": state["owner"], "state": state}
    return (await db.execute(_UPDATE, values)).first() is not None


async def delete(db: AsyncConnection, name: str, owner: str) -> None:
    """Delete the state, unless another process owns it."""
    await db.execute(_DELETE, {"name": name, "owner": owner})
