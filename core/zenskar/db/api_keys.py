"""API keys: `zsk_<prefix>_<secret>`. The database stores the prefix and a hash.

The secret holds 256 bits, so one round of SHA-256 is as safe as a slow hash.
"""

import hashlib
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.schema.operator_tables import api_keys
from zenskar.ids import new_id
from zenskar.model.scope import Scope

_ALPHABET = string.ascii_letters + string.digits
"""Without - and _, so that a key is one word in a search of logs."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key, from which the text of the key cannot be computed."""

    id: str
    name: str
    prefix: str
    scope: Scope
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def in_force(self) -> bool:
        """Whether the key is neither revoked nor expired."""
        expired = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return self.revoked_at is None and not expired


@dataclass(frozen=True, slots=True)
class LivingKey:
    """A key in force, for the comparison with the key of a request."""

    id: str
    prefix: str
    hash: bytes
    scope: Scope


_LIVING = text("""
    SELECT CAST(id AS text) AS id, prefix, hash, scope FROM api_keys
    WHERE prefix = ANY(CAST(:prefixes AS text[])) AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > now())
""")
_USED = text("""
    UPDATE api_keys SET last_used_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[]))
      AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
""")


async def create(
    db: AsyncConnection,
    name: str,
    scope: Scope = Scope.ADMIN,
    expires_at: datetime | None = None,
    key_id: str | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; return the key with its full text, which is not stored."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    key = f"zsk_{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(43))}"
    statement = insert(api_keys).values(
        id=key_id or new_id(),
        name=name,
        prefix=prefix,
        hash=digest(key),
        scope=scope.value,
        expires_at=expires_at,
    )
    row = (await db.execute(statement.returning(api_keys))).one()
    return _key(row), key


async def read_all(db: AsyncConnection) -> list[ApiKey]:
    """Return all keys, oldest first, revoked ones too."""
    rows = await db.execute(select(api_keys).order_by(api_keys.c.id))
    return [_key(row) for row in rows]


async def find(db: AsyncConnection, prefix: str) -> ApiKey | None:
    """Return the key with this prefix, None without one."""
    statement = select(api_keys).where(api_keys.c.prefix == prefix)
    row = (await db.execute(statement)).one_or_none()
    return None if row is None else _key(row)


async def revoke(db: AsyncConnection, prefix: str) -> ApiKey | None:
    """Revoke the key with this prefix; return None when there is none that is not revoked."""
    living = (api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
    statement = update(api_keys).where(*living).values(revoked_at=text("now()"))
    row = (await db.execute(statement.returning(api_keys))).one_or_none()
    return None if row is None else _key(row)


async def living(db: AsyncConnection, prefixes: Sequence[str]) -> dict[str, LivingKey]:
    """Return the keys of these prefixes that are neither revoked nor expired, by prefix."""
    rows = await db.execute(_LIVING, {"prefixes": list(prefixes)})
    return {
        row.prefix: LivingKey(row.id, row.prefix, bytes(row.hash), Scope(row.scope)) for row in rows
    }


async def used(db: AsyncConnection, key_ids: Sequence[str]) -> None:
    """Store the time at which keys were used, to the minute."""
    await db.execute(_USED, {"ids": list(key_ids)})


def digest(key: str) -> bytes:
    """Return the stored hash of a key."""
    return hashlib.sha256(key.encode()).digest()


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scope=Scope(row.scope),
        expires_at=row.expires_at,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
