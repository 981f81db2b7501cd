"""API keys: `zsk_<prefix>_<secret>`, of which the prefix and a hash are stored.

The secret holds 256 bits, so that one round of SHA-256 is as good as a slow hash.
"""

import hashlib
import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, text, update

from zenskar.db.engines import AsyncConnection
from zenskar.db.tables import api_keys
from zenskar.ids import new_id

_ALPHABET = string.ascii_letters + string.digits
"""Without - and _, so that a key is one word to whoever searches logs for it."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key; it cannot be made into the key that was shown once."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_LIVING = text("""
    SELECT CAST(id AS text) AS id, hash FROM api_keys
    WHERE prefix = :prefix AND revoked_at IS NULL
""")
_USED = text("""
    UPDATE api_keys SET last_used_at = now()
    WHERE id = CAST(:id AS uuid)
      AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
""")


async def create(connection: AsyncConnection, name: str) -> tuple[ApiKey, str]:
    """Make a key; return it with its full text, which nobody can read again."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    key = f"zsk_{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(43))}"
    statement = insert(api_keys).values(id=new_id(), name=name, prefix=prefix, hash=digest(key))
    row = (await connection.execute(statement.returning(api_keys))).one()
    return _key(row), key


async def read_all(connection: AsyncConnection) -> list[ApiKey]:
    """Return all keys, oldest first, revoked ones too."""
    rows = await connection.execute(select(api_keys).order_by(api_keys.c.id))
    return [_key(row) for row in rows]


async def revoke(connection: AsyncConnection, prefix: str) -> bool:
    """Revoke the living key of this prefix; False when there is none."""
    living = (api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
    statement = update(api_keys).where(*living).values(revoked_at=text("now()"))
    return (await connection.execute(statement)).rowcount > 0


async def living(connection: AsyncConnection, prefix: str) -> tuple[str, bytes] | None:
    """Return the id and the hash of the living key of this prefix."""
    row = (await connection.execute(_LIVING, {"prefix": prefix})).one_or_none()
    return None if row is None else (row.id, bytes(row.hash))


async def used(connection: AsyncConnection, key_id: str) -> None:
    """Note that a key was used, to the minute."""
    await connection.execute(_USED, {"id": key_id})


def digest(key: str) -> bytes:
    """Return what is stored of a key's text."""
    return hashlib.sha256(key.encode()).digest()


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(row.id, row.name, row.prefix, row.created_at, row.last_used_at, row.revoked_at)
