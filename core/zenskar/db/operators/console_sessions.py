"""The sessions of the console: a session has the rights of its API key, and ends with the key.

The database stores a hash of the token, which has 256 random bits.
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.api_keys import digest
from zenskar.model.scope import Scope

LIFETIME_SECONDS = 12 * 3600
"""A session ends this long after the login."""
IDLE_SECONDS = 2 * 3600
"""A session without a request ends after this time."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session in force, with the API key of its login.

    The time of the last request of a `stale` session is a minute old or older: touch it.
    """

    key_id: str
    key_name: str
    prefix: str
    scope: Scope
    stale: bool


_OPEN = text("""
    INSERT INTO console_sessions (token_hash, key_id) VALUES (:hash, CAST(:key_id AS uuid))
""")
_FORGET = text("""
    DELETE FROM console_sessions
    WHERE created_at < now() - make_interval(secs => :lifetime)
       OR seen_at < now() - make_interval(secs => :idle)
""")
_FIND = text("""
    SELECT CAST(k.id AS text) AS key_id, k.name AS key_name, k.prefix, k.scope,
           s.seen_at < now() - interval '1 minute' AS stale
    FROM console_sessions AS s JOIN api_keys AS k ON k.id = s.key_id
    WHERE s.token_hash = :hash
      AND s.created_at > now() - make_interval(secs => :lifetime)
      AND s.seen_at > now() - make_interval(secs => :idle)
      AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
""")
_SEEN = text("UPDATE console_sessions SET seen_at = now() WHERE token_hash = :hash")
_CLOSE = text("DELETE FROM console_sessions WHERE token_hash = :hash")
_LIMITS = {"lifetime": LIFETIME_SECONDS, "idle": IDLE_SECONDS}


async def begin(db: AsyncConnection, key_id: str) -> str:
    """Store a session of an API key, remove ended sessions, and return the token."""
    token = secrets.token_urlsafe(32)
    await db.execute(_FORGET, _LIMITS)
    await db.execute(_OPEN, {"hash": digest(token), "key_id": key_id})
    return token


async def find(db: AsyncConnection, token: str) -> ConsoleSession | None:
    """Return the session of a token; None when it has ended, or its key is not in force."""
    row = (await db.execute(_FIND, {"hash": digest(token), **_LIMITS})).one_or_none()
    if row is None:
        return None
    return ConsoleSession(row.key_id, row.key_name, row.prefix, Scope(row.scope), row.stale)


async def touch(db: AsyncConnection, token: str) -> None:
    """Store that a session has made a request just now."""
    await db.execute(_SEEN, {"hash": digest(token)})


async def end(db: AsyncConnection, token: str) -> None:
    """Remove the session of a token."""
    await db.execute(_CLOSE, {"hash": digest(token)})
