"""Create and revoke API keys, with an entry in the audit."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import api_keys
from zenskar.db.api_keys import ApiKey
from zenskar.errors import NotFound
from zenskar.model.actor import Actor
from zenskar.model.operator_action import ActionKind
from zenskar.model.scope import Scope
from zenskar.ops.audit import AuditEntry


async def create(
    db: AsyncConnection, name: str, scope: Scope, expires_at: datetime | None, by: Actor
) -> tuple[ApiKey, str]:
    """Create a key; return the key with its full text, which is not stored."""
    made, key = await api_keys.create(db, name, scope, expires_at)
    request = {"name": made.name, "scope": scope.value}
    await AuditEntry(ActionKind.CREATE_KEY, by, made.prefix, request).write(db)
    return made, key


async def revoke(db: AsyncConnection, prefix: str, by: Actor) -> None:
    """Revoke the key in force with this prefix. Raises `NotFound` when there is none."""
    if not await api_keys.revoke(db, prefix):
        raise NotFound(f"no living key has the prefix {prefix!r}: see `zenskar keys list`")
    await AuditEntry(ActionKind.REVOKE_KEY, by, prefix).write(db)
