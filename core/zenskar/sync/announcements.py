"""Announce changes to the broadcast plugins, once the transaction that makes them commits."""

from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections
from zenskar.db.driver.engine import after_commit
from zenskar.model.notices import ConnectionPaused, ConnectionResumed, Notice
from zenskar.plugins.broadcasts import Broadcaster


def announce(broadcaster: Broadcaster, notice: Notice) -> None:
    """Publish a notice after the commit of the current transaction, and never if it fails."""
    if broadcaster.wants(type(notice)):
        after_commit(partial(broadcaster.publish, notice))


async def pause(
    db: AsyncConnection,
    broadcaster: Broadcaster,
    source: str,
    reason: str,
    **about: str | None,
) -> bool:
    """Pause a connection and announce it; return whether the connection was active before.

    `about` are the `error_kind`, the `error_message` and the operator (`by`), if any.
    """
    first = await connections.pause(db, source, reason, **about)
    if first:
        announce(broadcaster, ConnectionPaused(source, reason))
    return first


async def resume(
    db: AsyncConnection,
    broadcaster: Broadcaster,
    source: str,
    by: str | None = None,
    note: str | None = None,
) -> None:
    """Resume a connection, and announce that unless the connection was active."""
    if await connections.resume(db, source, by, note):
        announce(broadcaster, ConnectionResumed(source))
