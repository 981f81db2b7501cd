"""The offsets of this process's messages on the log, saved periodically."""

import asyncio
from collections.abc import Iterable, Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import log_positions
from zenskar.db.driver.engine import in_transaction
from zenskar.db.log_positions import LogPosition, Place
from zenskar.errors import Unavailable

_SAVE_SECONDS = 2.0


class LogMarks:
    """Collects the ends of partitions from confirmations, and detects a log that went back."""

    def __init__(self) -> None:
        self._ends: dict[Place, int] = {}
        self._changed: dict[Place, LogPosition] = {}

    def begin(self) -> Mapping[Place, int]:
        """Return the ends before messages are sent: the messages must come after them."""
        return dict(self._ends)

    def note(self, before: Mapping[Place, int], confirmed: Iterable[tuple[str, int, int]]) -> None:
        """Record topic, partition and offset of confirmed messages."""
        for topic, partition, offset in confirmed:
            place = (topic, partition)
            # A repeated message may be confirmed without its offset.
            if offset < 0:
                continue
            known = self._changed.get(place)
            if offset < before.get(place, 0):
                self._ends[place] = offset + 1
                self._changed[place] = LogPosition(offset + 1, went_back=True)
            elif offset >= self._ends.get(place, 0):
                self._ends[place] = offset + 1
                back = known is not None and known.went_back
                self._changed[place] = LogPosition(offset + 1, back)

    async def keep(self, engine: AsyncEngine) -> None:
        """Save the changed ends periodically until cancelled."""
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            await self.save(engine)

    async def save(self, engine: AsyncEngine) -> None:
        """Save the changed ends; keep them while the database is unavailable."""
        changed, self._changed = self._changed, {}
        if not changed:
            return
        try:
            await in_transaction(engine, lambda c: log_positions.save(c, changed))
        except Unavailable:
            self._changed = changed | self._changed
