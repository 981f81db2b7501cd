"""The account at the external system that each connection belongs to."""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('accounts', 0))")

_READ = text("SELECT account FROM connections WHERE name = :name")

_HOLDER = text("""
    SELECT name FROM connections
    WHERE account = :account AND name <> :name AND name = ANY(CAST(:names AS text[]))
    ORDER BY name LIMIT 1
""")

_REMEMBER = text("""
    INSERT INTO connections (name, account) VALUES (:name, :account)
    ON CONFLICT (name) DO UPDATE
    SET account = excluded.account, other_account = NULL, updated_at = now()
""")

_NOTE_OTHER = text("UPDATE connections SET other_account = :account WHERE name = :name")

_ACCEPT = text("""
    UPDATE connections SET account = other_account, other_account = NULL, updated_at = now()
    WHERE name = :name AND other_account IS NOT NULL
    RETURNING account
""")


async def lock(db: AsyncConnection) -> None:
    """Lock the accounts of all connections until the transaction ends."""
    await db.execute(_ONE_AT_A_TIME)


async def account_of(db: AsyncConnection, name: str) -> str | None:
    """Return the account that a connection belongs to, None before the first contact."""
    account: str | None = await db.scalar(_READ, {"name": name})
    return account


async def holder(
    db: AsyncConnection, name: str, account: str, among: Collection[str]
) -> str | None:
    """Return another of these connections that belongs to the account, else None."""
    values = {"name": name, "account": account, "names": list(among)}
    found: str | None = await db.scalar(_HOLDER, values)
    return found


async def remember(db: AsyncConnection, name: str, account: str) -> None:
    """Store the account that a connection belongs to from now on."""
    await db.execute(_REMEMBER, {"name": name, "account": account})


async def note_other(db: AsyncConnection, name: str, account: str) -> None:
    """Store the account that a connection was paused for, until an operator accepts it."""
    await db.execute(_NOTE_OTHER, {"name": name, "account": account})


async def accept(db: AsyncConnection, name: str) -> str | None:
    """Move a connection to the account that it was paused for; return the account."""
    account: str | None = await db.scalar(_ACCEPT, {"name": name})
    return account
