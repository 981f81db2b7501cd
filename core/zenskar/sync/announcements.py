"""Announce changes to the log and the broadcast plugins, once their transaction commits."""

from collections.abc import Mapping
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections
from zenskar.db.driver.engine import after_commit
from zenskar.model.notices import ConnectionPaused, ConnectionResumed, Notice
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.telemetry.logs import get_logger

_log = get_logger(__name__)


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
) -> None:
    """Pause a connection, and announce that unless the connection was paused.

    `about` are the `error_kind`, the `error_message` and the operator (`by`), if any.
    """
    if await connections.pause(db, source, reason, **about):
        after_commit(partial(_log_pause, source, reason, about))
        announce(broadcaster, ConnectionPaused(source, reason))


async def resume(
    db: AsyncConnection,
    broadcaster: Broadcaster,
    source: str,
    by: str | None = None,
    note: str | None = None,
) -> None:
    """Resume a connection, and announce that unless the connection was active."""
    if await connections.resume(db, source, by, note):
        after_commit(partial(_log_resume, source, by, note))
        announce(broadcaster, ConnectionResumed(source))


def _log_pause(source: str, reason: str, about: Mapping[str, str | None]) -> None:
    if (by := about.get("by")) is not None:
        _log.info("connection_paused", source=source, reason=reason, by=by)
        return
    _log.error(
        "connection_paused", source=source, reason=reason, problem=about.get("error_message")
    )


def _log_resume(source: str, by: str | None, note: str | None) -> None:
    _log.info("connection_resumed", source=source, by=by, note=note)
