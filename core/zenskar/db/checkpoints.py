"""How far long work has come, so that it goes on after a crash."""

from typing import Any

import orjson
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
    """Return the state, locked, and whether it is younger than this; None without a state."""
    row = (await db.execute(_READ, {"name": name, "age": age_seconds})).one_or_none()
    return None if row is None else (dict(row.state), bool(row.fresh))


async def write(db: AsyncConnection, name: str, state: dict[str, Any]) -> None:
    """Write a state over whatever is there; its `owner` may update it from now on."""
    await db.execute(_WRITE, {"name": name, "state": orjson.dumps(state).decode()})


async def update(db: AsyncConnection, name: str, state: dict[str, Any]) -> bool:
    """Update the state; return whether its owner still owns it."""
    values = {"name": name, "owner": state["owner"], "state": orjson.dumps(state).decode()}
    return (await db.execute(_UPDATE, values)).first() is not None


async def delete(db: AsyncConnection, name: str, owner: str) -> None:
    """Forget the state, unless somebody else owns it by now."""
    await db.execute(_DELETE, {"name": name, "owner": owner})
