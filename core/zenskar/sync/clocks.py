"""Measure the clocks of external systems against ours by the times in their answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections
from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.invoker import Timing
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics

_DRIFT = 100
"""At most so many microseconds do two clocks drift apart in a second; quartz drifts half."""
_SAVE_SECONDS = 60.0
_YEAR_10000 = 253_402_300_800
_NONE = Interval(0, 0)
_log = get_logger(__name__)


@dataclass(slots=True)
class _Measured:
    """An offset, and when it was measured and saved on the monotonic clock."""

    offset: Interval
    at: float
    saved_at: float | None = None

    def aged(self, now: float) -> Interval:
        return self.offset.widened(int(max(0.0, now - self.at) * _DRIFT))


class Clocks:
    """Dates answers on the clock of their external system, and measures its offset from ours.

    `tolerances` are by source system: clocks within one count as equal.
    """

    def __init__(self, tolerances: Mapping[str, timedelta], metrics: Metrics) -> None:
        self._tolerances = {
            source: int(tolerance.total_seconds() * MICROSECONDS)
            for source, tolerance in tolerances.items()
        }
        self._metrics = metrics
        self._measured: dict[str, _Measured] = {}

    def date(self, source: str, timing: Timing, answered_at: int | None) -> Interval:
        """Return when the external system had the state in an answer, on its clock.

        An answer without a time is dated on our clock.
        """
        tolerance = self._tolerances[source]
        if answered_at is None or not 0 <= answered_at < _YEAR_10000:
            return _microseconds(timing.sent, timing.received).widened(tolerance)
        self._note(source, timing, answered_at)
        shown = Interval.of_second(answered_at)
        under_way = int(timing.seconds * MICROSECONDS)
        return Interval(shown.low - under_way, shown.high).widened(tolerance)

    def sent(self, source: str, sent_at: int | None, received_at: float) -> Interval:
        """Return when a webhook was sent, on the external clock."""
        if sent_at is not None and 0 <= sent_at < _YEAR_10000:
            return Interval.of_second(sent_at)
        return _microseconds(received_at, received_at).widened(self._tolerances[source])

    def offset(self, source: str, now: float) -> Interval | None:
        """Return by how many microseconds the external clock is ahead, None when not measured."""
        known = self._measured.get(source)
        return None if known is None else known.aged(now)

    async def save(self, db: AsyncConnection, now: float) -> None:
        """Store the offsets for other processes, each at most once a minute."""
        for source, known in sorted(self._measured.items()):
            if known.saved_at is None or now - known.saved_at > _SAVE_SECONDS:
                await connections.note_clock(db, source, known.aged(now))
                known.saved_at = now

    def note(self, source: str, timing: Timing, answered_at: int | None) -> None:
        """Measure the external clock by the time in an answer."""
        if answered_at is not None and 0 <= answered_at < _YEAR_10000:
            self._note(source, timing, answered_at)

    def _note(self, source: str, timing: Timing, answered_at: int) -> None:
        bounds = offset_of(timing, answered_at)
        known, before = self._measured.get(source), self.offset(source, timing.ended)
        if known is None or before is None:
            stepped, offset, saved_at = False, bounds, None
        else:
            stepped = _gap(before, bounds) > self._tolerances[source]
            offset, saved_at = _both(before, bounds) or bounds, known.saved_at
        self._measured[source] = _Measured(offset, timing.ended, None if stepped else saved_at)
        seconds = (offset.low + offset.high) / 2 / MICROSECONDS
        self._metrics.clock_offset.labels(source).set(seconds)
        if stepped or (before is None and _gap(offset, _NONE) > self._tolerances[source]):
            _log.warning("clock_differs", source=source, seconds=round(seconds, 1))


async def stored_offset(db: AsyncConnection, source: ConfiguredConnection) -> Interval:
    """Return the offset that a worker stored last, or that of equal clocks."""
    known = (await connections.clocks(db)).get(source.connection.name)
    tolerance = int(source.integration.clock_tolerance.total_seconds() * MICROSECONDS)
    return known or _NONE.widened(tolerance)


def offset_of(timing: Timing, answered_at: int) -> Interval:
    """Return by how many microseconds a clock is ahead, by the second it showed in an answer.

    The external system answered between sending and receipt, which bounds the offset.
    """
    second = Interval.of_second(answered_at)
    return Interval(
        second.low - int(timing.received * MICROSECONDS),
        second.high - int(timing.sent * MICROSECONDS),
    )


def _microseconds(low: float, high: float) -> Interval:
    return Interval(int(low * MICROSECONDS), int(high * MICROSECONDS))


def _both(first: Interval, second: Interval) -> Interval | None:
    low, high = max(first.low, second.low), min(first.high, second.high)
    return Interval(low, high) if low <= high else None


def _gap(first: Interval, second: Interval) -> int:
    """Return the distance between two intervals, 0 when they touch."""
    return max(0, second.low - first.high, first.low - second.high)
