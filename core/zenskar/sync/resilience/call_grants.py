"""Grant a slice of the calls that a limit leaves, or the time until it leaves some."""

import math
from dataclasses import dataclass, replace

from zenskar.db.call_limits import CallCount
from zenskar.model.call_limit import CallLimit, Usage
from zenskar.sync.resilience.call_window import CallWindow

_MOST_SECONDS = 15.0
"""The longest life of a slice: after it a process learns of holds, and returns unused calls."""
_LARGEST_SHARE, _LARGEST = 0.1, 100
"""The largest slice, as a share of the limit and as a number of calls."""


@dataclass(slots=True)
class CallSlice:
    """Calls that a process may make until a time of its monotonic clock.

    The database counts them in `slot`. `size` is their first number.
    """

    left: int = 0
    size: int = 0
    slot: int = 0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class CallShare:
    """The share of a limit that the calls of a purpose may use.

    An operator set a `fixed` limit. Any other is replaced by the limit that the system reports.
    """

    limit: CallLimit
    share: float
    fixed: bool = False

    def of(self, calls: int) -> int:
        """Return the share of a number of calls, at least one call."""
        return math.ceil(calls * self.share)


@dataclass(frozen=True, slots=True)
class CallGrant:
    """The granted calls and the seconds of their life, or the seconds to wait without calls.

    `count` is the count to store.
    """

    limit: CallLimit
    count: CallCount
    calls: int
    seconds: float


def grant(
    share: CallShare, count: CallCount, old: CallSlice, report: Usage | None = None
) -> CallGrant:
    """Return the next slice of a process after its `old` one, whose unused calls are returned.

    A slice grows while a process uses its slices up. A new `report` replaces the last one.
    """
    now, limit = count.now, share.limit
    window = CallWindow.of(limit.seconds, count.slot, count.taken).at(now)
    window = window.add(-old.left, old.slot)
    if report is not None:
        count = _reported(count, window, report)
    room, wait = _room(share, count, window)
    wanted = 1 if old.left else max(1, 2 * old.size)
    largest = min(_LARGEST, math.ceil(limit.calls * _LARGEST_SHARE))
    calls = 0 if wait else min(wanted, largest, room)
    window = window.add(calls)
    stored = replace(count, slot=window.slot, taken=window.taken)
    return CallGrant(limit, stored, calls, wait or min(_MOST_SECONDS, window.slot_left(now)))


def used(count: CallCount) -> int:
    """Return the calls of a limit at the time of its count, with those of other applications."""
    window = CallWindow.of(count.seconds, count.slot, count.taken).at(count.now)
    return window.used + (count.others if _is_reported(count) else 0)


def stated(count: CallCount) -> int:
    """Return the number of calls that the system reported as its limit, else the declared one."""
    return (count.reported_calls if _is_reported(count) else None) or count.calls


def _is_reported(count: CallCount) -> bool:
    return count.reported_until > count.now


def _reported(count: CallCount, window: CallWindow, report: Usage) -> CallCount:
    """Return the count with the calls of other applications, which a report shows.

    The report holds until the system counts anew, else for a slot. Later calls show a new report.
    """
    holds = window.slot_seconds if report.resets_in is None else report.resets_in
    return replace(
        count,
        others=max(0, report.used - window.used),
        reported_calls=report.calls,
        reported_until=count.now + min(holds, count.seconds),
    )


def _room(share: CallShare, count: CallCount, window: CallWindow) -> tuple[int, float]:
    """Return the calls that are left, and the seconds until some are, 0 when some are."""
    now, own = count.now, window.used
    allowed = share.of(count.calls if share.fixed else stated(count))
    room, wait = allowed - own, count.held_seconds
    if room <= 0:
        wait = max(wait, window.free_in(allowed, now))
    if _is_reported(count):
        outside = share.of(stated(count)) - own - count.others
        wait = max(wait, count.reported_until - now if outside <= 0 else 0.0)
        room = min(room, outside)
    return room, wait
