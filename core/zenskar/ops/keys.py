"""Create, read and revoke API keys; each change has an entry in the audit."""

import re
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import api_keys
from zenskar.db.api_keys import ApiKey
from zenskar.errors import InvalidInput, NotFound, StateConflict
from zenskar.model.actor import Actor
from zenskar.model.operator_action import ActionKind
from zenskar.model.scope import Scope
from zenskar.ops.audit import AuditEntry

LONGEST_NAME = 200
_PREFIX = re.compile("[A-Za-z0-9]{8}")


async def create(
    db: AsyncConnection,
    name: str,
    scope: Scope,
    expires_at: datetime | None,
    by: Actor,
    *,
    key_id: str | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; return the key with its full text, which is not stored.

    Raises `InvalidInput` for a name of several lines, and for an expiry that has passed.
    """
    if not (name.isprintable() and 0 < len(name.strip()) <= LONGEST_NAME):
        raise InvalidInput(f"a key's name must be one line of 1 to {LONGEST_NAME} characters")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidInput("the expiry of the key has passed")
    made, key = await api_keys.create(db, name, scope, expires_at, key_id)
    request = {
        "name": made.name,
        "scope": scope.value,
        "expires_at": expires_at and expires_at.isoformat(),
    }
    await AuditEntry(ActionKind.CREATE_KEY, by, made.prefix, request).write(db)
    return made, key


async def read(db: AsyncConnection, prefix: str) -> ApiKey:
    """Return the key with this prefix, revoked or not. Raises `NotFound`."""
    found = await api_keys.find(db, prefix) if _PREFIX.fullmatch(prefix) else None
    if found is None:
        raise NotFound("no key has this prefix")
    return found


async def revoke(
    db: AsyncConnection, prefix: str, by: Actor, *, spare: str | None = None
) -> ApiKey:
    """Revoke the key with this prefix, and return it.

    Raises `NotFound` for a revoked or unknown key, and `StateConflict` for the key with the id
    `spare`.
    """
    # The text of the error has no prefix: a person may send a whole key by mistake.
    revoked = await api_keys.revoke(db, prefix) if _PREFIX.fullmatch(prefix) else None
    if revoked is None:
        raise NotFound("no living key has this prefix: see `zenskar keys list`")
    if revoked.id == spare:
        raise StateConflict("this is the key of your request: confirm that it may lock you out")
    await AuditEntry(ActionKind.REVOKE_KEY, by, prefix).write(db)
    return revoked
