"""Send an alert to the address of `ZENSKAR_ALERT_URL` when a person should act.

The alerts are a broadcast plugin of the core: a thread of its own calls the hooks after commits,
with a bounded queue, a time limit for each call, and a count of what fails.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from zenskar.db.connections import DELETE_GUARD, PAUSED_BY_OPERATOR
from zenskar.model.notices import ConnectionPaused, DeadLetterAdded
from zenskar.model.sync_event import NO_SOURCE
from zenskar.plugins.broadcast_specs import hookimpl

NAME = "zenskar_alerts"
"""The name of the plugin in logs and metrics."""
_QUIET_SECONDS = 300.0
"""Further dead letters of a connection and kind are only counted for this long."""


class AlertPlugin:
    """Sends a small JSON value for each pause, and for the first of many dead letters.

    A message may name any source, so an alert names a configured source or none.
    """

    def __init__(
        self,
        send: Callable[[Mapping[str, Any]], None],
        sources: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._sources = frozenset(sources)
        self._clock = clock
        self._lock = threading.Lock()
        self._quiet_until: dict[tuple[str, str], float] = {}
        self._unsent: dict[tuple[str, str], int] = {}

    @hookimpl
    def connection_paused(self, notice: ConnectionPaused) -> None:
        """Send an alert for a pause, unless an operator has requested it."""
        if notice.reason == PAUSED_BY_OPERATOR:
            return
        source = self._named(notice.source)
        text = f"zenskar: the connection {source} is paused ({notice.reason})"
        if notice.reason == DELETE_GUARD:
            text = f"zenskar: the delete guard holds back the deletes of the connection {source}"
        self._deliver("connection_paused", source, text, reason=notice.reason)

    @hookimpl
    def dead_letter_added(self, notice: DeadLetterAdded) -> None:
        """Send an alert for a dead letter, and at most one in five minutes for each kind."""
        source, kind = self._named(notice.source), notice.kind or notice.reason or ""
        count = self._count(source, kind)
        if not count:
            return
        letters = "a dead letter" if count == 1 else f"{count} dead letters"
        self._deliver(
            "dead_letter",
            source,
            f"zenskar: {letters} of the connection {source} ({kind})",
            kind=kind,
            count=count,
            sync_event_id=notice.sync_event_id,
        )

    def _count(self, source: str, kind: str) -> int:
        """Return the dead letters since the last alert, 0 while no further alert is sent."""
        about, now = (source, kind), self._clock()
        with self._lock:
            count = self._unsent.pop(about, 0) + 1
            if now < self._quiet_until.get(about, 0.0):
                self._unsent[about] = count
                return 0
            self._quiet_until[about] = now + _QUIET_SECONDS
            return count

    def _named(self, source: str) -> str:
        return source if source in self._sources else NO_SOURCE

    def _deliver(self, alert: str, source: str, text: str, **about: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._send({"alert": alert, "source": source, "text": text, "at": now, **about})
