"""Wake whoever waits for a topic, in this process at once and in others by LISTEN/NOTIFY.

NOTIFY takes a lock of the whole database at commit, so it is never sent in the transaction of a
change, and while one is on its way the next ones wait and go out together.
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
_APART_SECONDS = 0.002
_CROWD, _CROWD_APART_SECONDS = 8, 0.025
"""Who works off a crowd looks for more without being told."""
_log = get_logger(__name__)


class Notifier:
    """One connection that notifies; everything works without it, only later.

    It listens from when somebody first waits: a process without a worker never does.
    """

    def __init__(self, url: str, application: str = "zenskar") -> None:
        self._address = read_address(url)
        self._application = application
        self._signals: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._unsent: Counter[str] = Counter()
        self._to_do = asyncio.Event()
        self._waited_for = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background, again and again while the database is away."""
        self._task = asyncio.create_task(self._run(), name="wakeup")

    async def stop(self) -> None:
        """Disconnect, and let go of everyone who waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for signal in self._signals.values():
            signal.set()

    def wake(self, topic: str, messages: int = 1) -> None:
        """Wake who waits for this topic, in every process."""
        self.wake_here(topic)
        self._unsent[topic] += messages
        self._to_do.set()

    def wake_here(self, topic: str) -> None:
        """Wake who waits for this topic in this process."""
        self._signals[topic].set()

    async def wait(self, topic: str, timeout_seconds: float) -> None:
        """Return when the topic is woken, or after a while."""
        signal = self._signals[topic]
        if not self._waited_for:
            self._waited_for = True
            self._to_do.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await signal.wait()

    def clear(self, topic: str) -> None:
        """Forget earlier wakes; do this before looking for messages, so that none is missed."""
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
        try:
            # A commit that notifies is written to disk like any other, and nobody would miss it.
            await connection.execute("SET synchronous_commit = off")
            listening = False
            while not connection.is_closed():
                if self._waited_for and not listening:
                    await connection.add_listener(CHANNEL, self._on_notify)
                    self._wake_all()
                    listening = True
                await self._to_do.wait()
                self._to_do.clear()
                told, self._unsent = self._unsent, Counter()
                for topic in told:
                    await connection.execute(f"NOTIFY {CHANNEL}, {_quoted(topic)}")
                crowd = told.total() >= _CROWD
                await asyncio.sleep(_CROWD_APART_SECONDS if crowd else _APART_SECONDS)
        finally:
            # An error here would take the place of a cancellation, and this would go on for ever.
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=1)

    def _on_notify(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        self._signals[str(payload)].set()

    def _wake_all(self) -> None:
        """What was sent while nobody listened is looked for once."""
        for signal in self._signals.values():
            signal.set()


def _quoted(text: str) -> str:
    # NOTIFY takes no parameters, and is half as dear as the function that does.
    return "'" + text.replace("'", "''") + "'"
