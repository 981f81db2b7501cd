"""Stop a burst of deletes before it empties the catalog."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import connections
from zenskar.db.connections import DELETE_GUARD
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import ZenskarError
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.settings import Settings
from zenskar.sync import announcements


class TooManyDeletes(ZenskarError):
    """A connection exceeds its limit of deletes; nothing of the batch was applied."""

    def __init__(self, source: str, deletes: int, window_seconds: float) -> None:
        self.source = source
        super().__init__(
            f"{deletes} deletes from {source} within {window_seconds:g} s: held before the catalog "
            f"is wiped; see zenskar connections held {source}"
        )


@dataclass(frozen=True, slots=True)
class DeleteGuard:
    """At most `limit` deletes in `window_seconds` for each connection; 0 turns the guard off."""

    limit: int
    window_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "DeleteGuard":
        """Return the guard that the settings of a connection describe."""
        return cls(settings.delete_guard_limit, settings.delete_guard_window_seconds)

    async def check(self, db: AsyncConnection, source: str, event_ids: Collection[str]) -> None:
        """Raise `TooManyDeletes` when these deletes and the recent ones exceed the limit.

        Deletes that were held when an operator released them do not count.
        """
        if not self.limit or not event_ids:
            return
        await connections.lock_deletes(db, source)
        before = await connections.recent_deletes(db, source, self.window_seconds)
        if before + len(event_ids) <= self.limit:
            return
        deletes = before + len(event_ids) - await connections.count_released(db, event_ids)
        if deletes > self.limit:
            raise TooManyDeletes(source, deletes, self.window_seconds)


async def trip(engine: AsyncEngine, broadcaster: Broadcaster, error: TooManyDeletes) -> None:
    """Pause the connection with too many deletes."""

    async def pause(db: AsyncConnection) -> None:
        await announcements.pause(
            db,
            broadcaster,
            error.source,
            DELETE_GUARD,
            error_kind=DELETE_GUARD,
            error_message=str(error),
        )

    await in_transaction(engine, pause)
