"""Track the consumers of this process: repeated failures and lack of progress."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count

from zenskar.errors import Unavailable
from zenskar.telemetry.metrics import Metrics

UNAVAILABLE, FAILED = "unavailable", "failed"
_MANY, _WITHIN_SECONDS = 3, 60.0
_SLOW_SECONDS = 120.0
"""The time without progress after which a consumer with waiting messages is in trouble."""
_HUNG_SECONDS = 900.0
"""Longer than any batch or chain of calls takes."""


class Progress:
    """Tracks failures and finished work by consumer, and reports the consumers in trouble.

    `lag` returns the number of messages that wait on the log for this process, by topic.
    """

    def __init__(
        self,
        metrics: Metrics,
        lag: Callable[[], Mapping[str, int]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._lag = lag
        self._clock = clock
        self._failures: dict[str, deque[tuple[float, str]]] = {}
        self._tickets = count()
        self._at_work: dict[str, dict[int, float]] = {}
        self._topics: dict[str, str] = {}
        self._moved: dict[str, float] = {}

    def consumes(self, name: str, topic: str) -> None:
        """Note that a consumer receives the messages of a topic from now on."""
        self._topics[name] = topic
        self._moved[name] = self._clock()
        stalled = self._metrics.consumer_stalled.labels(name)
        stalled.set_function(lambda: self._stalled_seconds(name, self._lag().get(topic, 0)))

    def failed(self, name: str, error: Exception) -> None:
        """Count a failure. An unavailable database or bus is no failure of the consumer."""
        kind = UNAVAILABLE if isinstance(error, Unavailable) else FAILED
        self._metrics.consumer_failures.labels(name, kind).inc()
        if kind == FAILED:
            latest = self._failures.setdefault(name, deque(maxlen=_MANY))
            latest.append((self._clock(), type(error).__name__))

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        """Note that a consumer is processing its messages, for the duration of the block."""
        ticket = next(self._tickets)
        self._at_work.setdefault(name, {})[ticket] = self._clock()
        try:
            yield
            self._moved[name] = self._clock()
        finally:
            del self._at_work[name][ticket]

    def problems(self) -> list[str]:
        """Return a text for each problem of a consumer."""
        return [text for texts in self._texts().values() for text in texts]

    def by_consumer(self) -> dict[str, str]:
        """Return the problems of each consumer, "" without one."""
        return {name: "; ".join(texts) for name, texts in self._texts().items()}

    def _texts(self) -> dict[str, list[str]]:
        now, lag = self._clock(), self._lag()
        found: dict[str, list[str]] = {name: [] for name in self._topics}
        for name in self._failures:
            found.setdefault(name, []).append(self._failing(name, now))
        for name in self._at_work:
            found.setdefault(name, []).append(self._hung(name, now))
        for name, topic in self._topics.items():
            found[name].append(self._standing(name, lag.get(topic, 0)))
        return {name: [text for text in texts if text] for name, texts in found.items()}

    def _failing(self, name: str, now: float) -> str:
        latest = self._failures[name]
        if len(latest) < _MANY or now - latest[0][0] > _WITHIN_SECONDS:
            return ""
        return f"{name} fails again and again ({latest[-1][1]})"

    def _hung(self, name: str, now: float) -> str:
        oldest = min(self._at_work[name].values(), default=now)
        if now - oldest < _HUNG_SECONDS:
            return ""
        return f"{name} has been at the same work for {now - oldest:.0f} s"

    def _stalled_seconds(self, name: str, waiting: int) -> float:
        now = self._clock()
        if not waiting:
            self._moved[name] = now
        return now - self._moved[name]

    def _standing(self, name: str, waiting: int) -> str:
        still = self._stalled_seconds(name, waiting)
        if still < _SLOW_SECONDS:
            return ""
        return f"{name} has done nothing for {still:.0f} s, while {waiting} messages wait"
