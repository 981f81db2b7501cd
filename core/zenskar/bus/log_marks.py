"""Where this process's messages came to lie on the log, written down now and then."""

import asyncio
from collections.abc import Iterable, Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import log_positions
from zenskar.db.driver.engine import in_transaction
from zenskar.db.log_positions import LogPosition, Place
from zenskar.errors import Unavailable

_SAVE_SECONDS = 2.0


class LogMarks:
    """Remembers the ends that confirmations told of, and notices a log that went back."""

    def __init__(self) -> None:
        self._ends: dict[Place, int] = {}
        self._news: dict[Place, LogPosition] = {}

    def begin(self) -> Mapping[Place, int]:
        """Return the ends as they are before messages are sent: those come behind them."""
        return dict(self._ends)

    def note(self, before: Mapping[Place, int], confirmed: Iterable[tuple[str, int, int]]) -> None:
        """Take in where messages lie: topic, partition and offset of each."""
        for topic, partition, offset in confirmed:
            place = (topic, partition)
            # A repeated message may be confirmed without its offset.
            if offset < 0:
                continue
            known = self._news.get(place)
            if offset < before.get(place, 0):
                self._ends[place] = offset + 1
                self._news[place] = LogPosition(offset + 1, went_back=True)
            elif offset >= self._ends.get(place, 0):
                self._ends[place] = offset + 1
                back = known is not None and known.went_back
                self._news[place] = LogPosition(offset + 1, back)

    async def keep(self, engine: AsyncEngine) -> None:
        """Write news to the database every so often, for as long as this runs."""
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            await self.save(engine)

    async def save(self, engine: AsyncEngine) -> None:
        """Write news to the database; while it is away, later."""
        news, self._news = self._news, {}
        if not news:
            return
        try:
            await in_transaction(engine, lambda c: log_positions.save(c, news))
        except Unavailable:
            self._news = news | self._news
