"""Wake the receivers of a topic, in this process at once and in others by LISTEN/NOTIFY.

NOTIFY takes a lock of the whole database at commit. So no transaction of a change sends it, and
the notifications that arise meanwhile are sent together.
https://www.postgresql.org/docs/15/sql-notify.html
"""

import asyncio
from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

import asyncpg

from zenskar.db.driver.address import read_address
from zenskar.telemetry.logs import get_logger

CHANNEL = "zenskar_outbox"
_RECONNECT_SECONDS = 1.0
_NOTIFY_SECONDS = 5.0
_APART_SECONDS = 0.002
_BURST, _BURST_APART_SECONDS = 8, 0.025
"""A worker that processes a burst searches for more messages without a notification."""
_log = get_logger(__name__)


class Notifier:
    """A connection for notifications; without it, messages are received later.

    The notifier listens after the first `wait`: a process without a worker never listens.
    """

    def __init__(self, url: str, application: str = "zenskar") -> None:
        self._address = read_address(url)
        self._application = application
        self._signals: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._unsent: Counter[str] = Counter()
        self._pending = asyncio.Event()
        self._has_receivers = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background, and reconnect while the database is unavailable."""
        self._task = asyncio.create_task(self._run(), name="wakeup")

    async def stop(self) -> None:
        """Disconnect, and wake all receivers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for signal in self._signals.values():
            signal.set()

    def wake(self, topic: str, messages: int = 1) -> None:
        """Wake the receivers of a topic in every process."""
        self.wake_here(topic)
        self._unsent[topic] += messages
        self._pending.set()

    def wake_here(self, topic: str) -> None:
        """Wake the receivers of a topic in this process."""
        self._signals[topic].set()

    def is_woken(self, topic: str) -> bool:
        """Return whether the topic was woken since the last `clear`."""
        return self._signals[topic].is_set()

    async def wait(self, topic: str, timeout_seconds: float) -> None:
        """Return when the topic is woken, or after the timeout."""
        signal = self._signals[topic]
        if not self._has_receivers:
            self._has_receivers = True
            self._pending.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await signal.wait()

    def clear(self, topic: str) -> None:
        """Forget earlier wakes, before a search for messages, so that none is missed."""
        self._signals[topic].clear()

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("wakeup_lost", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _serve(self) -> None:
        connection = await self._address.connect(seconds=5, application=self._application)
        # A process that only listens would never notice the end of the connection.
        connection.add_termination_listener(lambda _: self._pending.set())
        try:
            # A commit with NOTIFY is written to disk, but its loss in a crash changes nothing.
            await connection.execute("SET synchronous_commit = off")
            listening = False
            while not connection.is_closed():
                if self._has_receivers and not listening:
                    await connection.add_listener(CHANNEL, self._on_notify)
                    self._wake_all()
                    listening = True
                await self._pending.wait()
                self._pending.clear()
                unsent, self._unsent = self._unsent, Counter()
                for topic in unsent:
                    notify = f"NOTIFY {CHANNEL}, {_quoted(topic)}"
                    await connection.execute(notify, timeout=_NOTIFY_SECONDS)
                burst = unsent.total() >= _BURST
                await asyncio.sleep(_BURST_APART_SECONDS if burst else _APART_SECONDS)
            raise asyncpg.InterfaceError("the connection has ended")
        finally:
            # An error here would replace a cancellation, and the task would run forever.
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=1)

    def _on_notify(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        self._signals[str(payload)].set()

    def _wake_all(self) -> None:
        """Wake all receivers for notifications that were sent before this connection listened."""
        for signal in self._signals.values():
            signal.set()


def _quoted(text: str) -> str:
    # NOTIFY has no parameters; `pg_notify` has, and costs twice as much.
    return "'" + text.replace("'", "''") + "'"
