"""Responses to requests with an Idempotency-Key."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.errors import InvalidInput, Unavailable


class IdempotencyKeyReused(InvalidInput):
    """An Idempotency-Key was used again for another request."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A request's Idempotency-Key, the scope of the key, and a hash of the request."""

    scope: str
    key: str
    request_hash: bytes


_RESERVE = text("""
    INSERT INTO idempotency_keys (scope, key, request_hash, entity_id)
    VALUES (:scope, :key, :request_hash, CAST(:entity_id AS uuid))
    ON CONFLICT (scope, key) DO NOTHING
    RETURNING key
""")
_READ = text("""
    SELECT request_hash, response
    FROM idempotency_keys WHERE scope = :scope AND key = :key
""")
_ANSWER = text("""
    UPDATE idempotency_keys SET response = :response WHERE scope = :scope AND key = :key
""")


async def reserve(db: AsyncConnection, once: Idempotency, entity_id: str) -> str | None:
    """Reserve a key; return the stored response when the same request has reserved the key.

    Waits for a transaction that reserves the same key. Raises `IdempotencyKeyReused`, and
    `Unavailable` when the key has just expired.
    """
    place = {"scope": once.scope, "key": once.key}
    values = {**place, "request_hash": once.request_hash, "entity_id": entity_id}
    if (await db.execute(_RESERVE, values)).first() is not None:
        return None
    stored = (await db.execute(_READ, place)).one_or_none()
    if stored is None or stored.response is None:
        raise Unavailable("the Idempotency-Key has just expired")
    if bytes(stored.request_hash) != once.request_hash:
        raise IdempotencyKeyReused("this Idempotency-Key was used for another request")
    response: str = stored.response
    return response


async def answer(db: AsyncConnection, once: Idempotency, response: str) -> None:
    """Store the response to the request with a key."""
    await db.execute(_ANSWER, {"scope": once.scope, "key": once.key, "response": response})
