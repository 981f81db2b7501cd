"""Keep the calls of each connection within its limits, which all processes share.

A process takes slices of calls from the database, so a call seldom costs a statement. A killed
process loses its slices only. When the calls of a purpose are used up, a call waits if that is
short; else it fails as a call that is held back after a rate limit.
"""

import asyncio
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import call_limits
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.model.call_limit import PURPOSES, CallLimit, Purpose, Usage
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.router import PluginRouter
from zenskar.sync.resilience.call_grants import CallGrant, CallShare, CallSlice, grant, stated, used
from zenskar.sync.resilience.call_usage import UsageReports
from zenskar.sync.resilience.rate_limit import HELD, RateLimitBackoff, hold_back
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics

_PATIENCE_SECONDS = 2.0
"""The longest wait of a call in its place, which keeps a lane of its worker busy."""
_MOST_WAITING = 4
"""The most calls of a connection that wait in their places."""
_FRESH_SECONDS, _AGAIN_SECONDS = 1.0, 5.0
"""How long a process trusts a refusal, and the delay of a call by a long one on trust alone."""
_LONG_SECONDS = 30.0
"""A delay of this length is logged, and one of pushes holds back the whole connection."""
_SPREAD_SECONDS = 300.0
"""The longest time over which calls that are due together are spread."""
_MOST_SECONDS, _UNKNOWN_SECONDS = 86_400.0, 300.0
_JITTER_SECONDS = 0.05
_log = get_logger(__name__)


class _Key(NamedTuple):
    """A limit of a connection, for the calls of one purpose."""

    source: str
    purpose: Purpose
    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A limit that leaves no calls until a time; `asked` is when the database said so.

    A refusal that is `repeated` rests on an earlier one: an operator may have ended it since.
    """

    limit: CallLimit
    until: float
    asked: float
    repeated: bool = False


class CallLimiter:
    """Admits the calls of this process to external systems, one after another.

    `monotonic` is a clock that is never set.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        router: PluginRouter,
        connections: Mapping[str, ConfiguredConnection],
        metrics: Metrics,
        backoff: RateLimitBackoff,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._router = router
        self._connections = connections
        self._metrics = metrics
        self._backoff = backoff
        self._monotonic = monotonic
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._by_hook: dict[tuple[str, str], tuple[CallLimit, ...]] = {}
        self._slices: defaultdict[_Key, CallSlice] = defaultdict(CallSlice)
        self._refusals: dict[_Key, _Refusal] = {}
        self._turns: dict[_Key, float] = {}
        self._reports = UsageReports(router)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: Counter[str] = Counter()

    async def admit(self, source: str, hook: str, purpose: Purpose | None = None) -> None:
        """Count a call of a hook, after a short wait if needed; `purpose` replaces the usual one.

        Raises `CallFailed` of the kind `RATE_LIMITED` for a call that must be made later, and
        `Unavailable` when the database is unavailable.
        """
        limits = self._limits(source, hook)
        if not limits:
            return
        purpose = purpose or PURPOSES[hook]
        if not self._spend(source, purpose, limits):
            await self._admit_later(source, purpose, limits)

    def left(self, source: str, hook: str) -> float:
        """Return the seconds for which calls of a hook were lately refused, 0 when they were not.

        A refusal counts for some minutes, because an operator may resume the connection.
        """
        now = self._monotonic()
        keys = (_key(source, PURPOSES[hook], limit) for limit in self._limits(source, hook))
        known = [self._refusals[key] for key in keys if key in self._refusals]
        return max(
            (r.until - now for r in known if now - r.asked < _SPREAD_SECONDS and r.until > now),
            default=0.0,
        )

    async def hold(self, db: AsyncConnection, source: str, failure: Failure) -> float | None:
        """Hold back the calls of the one endpoint whose rate limit a failure names.

        Returns the seconds, None when the failure names no declared limit. The count that came with
        the refusal is not used any more, since it is outdated when the calls go on.
        """
        self._reports.skip(source)
        declared = self._connections[source].call_limits
        limits = [limit for limit in declared if limit.name and limit.name == failure.limit]
        if not limits:
            return None
        asked = failure.retry_after or 0.0
        shortest = min(limit.seconds for limit in limits)
        seconds = asked if asked > 0 else min(shortest, _UNKNOWN_SECONDS)
        seconds = min(seconds, _MOST_SECONDS)
        await call_limits.hold(db, source, limits[0].name, seconds)
        now = self._monotonic()
        for key in (_key(source, purpose, limit) for purpose in Purpose for limit in limits):
            self._slices[key].until = 0.0
            self._refusals[key] = _Refusal(limits[0], now + seconds, now)
        _log.warning("calls_held", source=source, limit=limits[0].name, seconds=round(seconds, 1))
        return seconds + self._rng.uniform(0, min(seconds, 1.0))

    def _limits(self, source: str, hook: str) -> tuple[CallLimit, ...]:
        known = self._by_hook.get((source, hook))
        if known is None:
            # The default of a hook makes no call.
            made = hook in PURPOSES and self._router.implements(source, hook)
            declared = self._connections[source].call_limits if made else ()
            known = tuple(limit for limit in declared if limit.counts(hook))
            self._by_hook[source, hook] = known
        return known

    def _spend(
        self, source: str, purpose: Purpose, limits: Sequence[CallLimit], *, at_once: bool = False
    ) -> bool:
        """Spend a call of the slice of each limit; `at_once` after a slice has just been taken."""
        now = -math.inf if at_once else self._monotonic()
        slices = [self._slices[_key(source, purpose, limit)] for limit in limits]
        if any(not each.left or each.until <= now for each in slices):
            return False
        for each in slices:
            each.left -= 1
        return True

    async def _admit_later(
        self, source: str, purpose: Purpose, limits: Sequence[CallLimit]
    ) -> None:
        ends = self._monotonic() + _PATIENCE_SECONDS
        while (refusal := await self._take_or_refuse(source, purpose, limits)) is not None:
            now = self._monotonic()
            left = max(0.0, refusal.until - now)
            if now + left > ends or self._waiting[source] >= _MOST_WAITING:
                self._metrics.calls_held.labels(source, purpose.value).inc()
                raise CallFailed(self._held(source, purpose, refusal))
            self._waiting[source] += 1
            try:
                await asyncio.sleep(left + self._rng.uniform(0, _JITTER_SECONDS))
            finally:
                self._waiting[source] -= 1

    async def _take_or_refuse(
        self, source: str, purpose: Purpose, limits: Sequence[CallLimit]
    ) -> _Refusal | None:
        """Spend a call, of new slices if needed; return the refusal of a limit without calls."""
        async with self._locks[source]:
            taken = False
            while not self._spend(source, purpose, limits, at_once=taken):
                if (known := self._known(source, purpose, limits)) is not None:
                    return known
                refused = await self._take_slices(source, purpose, limits)
                if refused is not None:
                    await self._hold_connection(source, purpose, refused)
                    return self._refusals[_key(source, purpose, refused.limit)]
                taken = True
            return None

    async def _take_slices(
        self, source: str, purpose: Purpose, limits: Sequence[CallLimit]
    ) -> CallGrant | None:
        """Take a slice of each limit whose slice is used up; return the refusal that lasts."""
        began, reports = self._monotonic(), self._reports.new(source, limits)
        # Nobody spends a slice that is being returned.
        old = {
            limit: self._slices.pop(_key(source, purpose, limit), CallSlice())
            for limit in limits
            if limit in reports or self._lacks(source, purpose, limit, began)
        }
        grants = await in_transaction(
            self._engine, lambda db: self._take(db, source, purpose, old, reports)
        )
        for each in grants:
            self._apply(source, purpose, each, began)
        refused = [each for each in grants if not each.calls]
        return max(refused, key=lambda each: each.seconds, default=None)

    def _lacks(self, source: str, purpose: Purpose, limit: CallLimit, now: float) -> bool:
        own = self._slices[_key(source, purpose, limit)]
        return not own.left or own.until <= now

    def _known(self, source: str, purpose: Purpose, limits: Sequence[CallLimit]) -> _Refusal | None:
        """Return a refusal that is so young that the database need not be asked again."""
        now = self._monotonic()
        for limit in limits:
            known = self._refusals.get(_key(source, purpose, limit))
            if known and now < known.until and now - known.asked < _FRESH_SECONDS:
                return replace(known, repeated=True)
        return None

    async def _take(
        self,
        db: AsyncConnection,
        source: str,
        purpose: Purpose,
        slices: Mapping[CallLimit, CallSlice],
        reports: Mapping[CallLimit, Usage],
    ) -> list[CallGrant]:
        wanted = [(limit.name, float(limit.seconds), limit.calls) for limit in slices]
        counts = {(c.name, c.seconds): c for c in await call_limits.lock(db, source, wanted)}
        grants = []
        for limit, old in slices.items():
            share, count = self._share(source, purpose, limit), counts[limit.name, limit.seconds]
            grants.append(grant(share, count, old, reports.get(limit)))
            await call_limits.save(db, source, grants[-1].count)
        return grants

    def _share(self, source: str, purpose: Purpose, limit: CallLimit) -> CallShare:
        connection = self._connections[source]
        settings = connection.settings
        shares = {
            Purpose.PUSH: settings.push_share,
            Purpose.READ: settings.read_share,
            Purpose.BACKFILL: settings.backfill_share,
        }
        fixed = limit.daily and connection.daily_calls is not None
        return CallShare(limit, shares[purpose], fixed)

    def _apply(self, source: str, purpose: Purpose, granted: CallGrant, began: float) -> None:
        """Note a grant. The time of the statement counts, so that no slice outlives its slot."""
        limit, now = granted.limit, self._monotonic()
        key = _key(source, purpose, limit)
        until = began + granted.seconds if granted.calls else 0.0
        self._slices[key] = CallSlice(granted.calls, granted.calls, granted.count.slot, until)
        labels = (source, limit.name, f"{limit.seconds:g}")
        self._metrics.call_limit.labels(*labels).set(stated(granted.count))
        self._metrics.call_limit_used.labels(*labels).set(used(granted.count))
        if not granted.calls:
            self._note_refusal(key, _Refusal(limit, now + granted.seconds, now))

    def _note_refusal(self, key: _Key, refusal: _Refusal) -> None:
        known = self._refusals.get(key)
        self._refusals[key] = refusal
        left = refusal.until - refusal.asked
        if left >= _LONG_SECONDS and (known is None or known.until <= refusal.asked):
            _log.warning(
                "calls_held",
                source=key.source,
                limit=str(refusal.limit),
                purpose=key.purpose.value,
                seconds=round(left, 1),
            )

    async def _hold_connection(self, source: str, purpose: Purpose, refused: CallGrant) -> None:
        """Hold back the whole connection, where all can see it, when no purpose has calls left."""
        of_all = purpose is Purpose.PUSH and not refused.limit.hooks
        if of_all and refused.seconds >= _LONG_SECONDS:
            await in_transaction(
                self._engine,
                lambda db: hold_back(self._backoff, db, source, refused.seconds),
            )

    def _held(self, source: str, purpose: Purpose, refusal: _Refusal) -> Failure:
        """Return the failure of a call that must be made later.

        Calls are due again one after another, because all of them at once would be refused again.
        """
        limit, now = refusal.limit, self._monotonic()
        left = max(0.0, refusal.until - now)
        key = _key(source, purpose, limit)
        allowed = self._share(source, purpose, limit).of(limit.calls)
        turn = max(self._turns.get(key, 0.0), now + left) + limit.seconds / allowed
        turn = self._turns[key] = min(turn, now + left + _SPREAD_SECONDS)
        text = f"held back for {left:.0f} s: {limit}, and none is left for a {purpose.value}"
        unsure = refusal.repeated and left >= _LONG_SECONDS
        delay = min(turn - now, _AGAIN_SECONDS) if unsure else turn - now
        return Failure(FailureKind.RATE_LIMITED, text, HELD, delay, limit=limit.name or None)


def _key(source: str, purpose: Purpose, limit: CallLimit) -> _Key:
    return _Key(source, purpose, limit.name, limit.seconds)
