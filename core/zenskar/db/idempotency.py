"""Responses to requests with an Idempotency-Key."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The hash of the request with a key, and its response as JSON."""

    request_hash: bytes
    entity_id: str
    response: str | None


_RESERVE = text("""
    INSERT INTO idempotency_keys (scope, key, request_hash, entity_id)
    VALUES (:scope, :key, :request_hash, CAST(:entity_id AS uuid))
    ON CONFLICT (scope, key) DO NOTHING
    RETURNING key
""")
_READ = text("""
    SELECT request_hash, CAST(entity_id AS text) AS entity_id, response
    FROM idempotency_keys WHERE scope = :scope AND key = :key
""")
_ANSWER = text("""
    UPDATE idempotency_keys SET response = :response WHERE scope = :scope AND key = :key
""")


async def reserve(
    db: AsyncConnection, scope: str, key: str, request_hash: bytes, entity_id: str
) -> bool:
    """Reserve a key; return False when it is reserved.

    Waits for a transaction that reserves the same key.
    """
    values = {"scope": scope, "key": key, "request_hash": request_hash, "entity_id": entity_id}
    return (await db.execute(_RESERVE, values)).first() is not None


async def read(db: AsyncConnection, scope: str, key: str) -> StoredAnswer | None:
    """Return the stored answer of a key."""
    row = (await db.execute(_READ, {"scope": scope, "key": key})).one_or_none()
    return None if row is None else StoredAnswer(bytes(row.request_hash), *row[1:])


async def answer(db: AsyncConnection, scope: str, key: str, response: str) -> None:
    """Store the response to the request with a key."""
    await db.execute(_ANSWER, {"scope": scope, "key": key, "response": response})
