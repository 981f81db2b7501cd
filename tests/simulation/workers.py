"""Workers that can be killed between any two steps."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from tests.simulation.clock import Clock, WrongClock
from zenskar.bus.port import Bus
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.plugins.discovery import Plugin
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import Settings

POINTS = (
    "inbound.claimed",
    "inbound.applied",
    "outbound.claimed",
    "outbound.stored_intent",
    "outbound.called",
    "outbound.failed",
    "outbound.stored_answer",
    "outbound.decided",
)


class Worker:
    """A worker with a runtime, a bus and claims of its own, as if it were a process."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        plugins: Mapping[str, Plugin],
        clock: Clock,
        ours: WrongClock,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._plugins = plugins
        self._clock = clock
        self._ours = ours
        self._stack = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._fatal_point: str | None = None
        self._dead = asyncio.Event()
        self._busy: set[asyncio.Task[Any]] = set()
        self._runtime: Runtime | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to work."""
        opened = open_runtime(self._settings, self._environment, plugins=self._plugins)
        runtime = await self._stack.enter_async_context(opened)
        context = replace(
            runtime.context, failpoint=self._pass, clock=self._ours, monotonic=self._clock
        )
        self._runtime = replace(runtime, context=context)
        self._task = asyncio.create_task(self._runtime.worker().run(self._stopping))

    async def stop(self) -> None:
        """Stop as SIGTERM does, unless the worker is dead already."""
        self._stopping.set()
        if await self.killed():
            return
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stack.aclose()

    def kill_at(self, point: str) -> None:
        """Be killed when this point is passed next."""
        self._fatal_point = point

    def kill_in(self, seconds: float) -> None:
        """Be killed after a while, in the middle of whatever goes on then."""
        asyncio.get_running_loop().call_later(seconds, self._die)

    async def killed(self) -> bool:
        """Bury the worker if it has been killed; tell whether that is so."""
        if not self._dead.is_set() or self._task is None or self._runtime is None:
            return False
        self._die()
        await asyncio.gather(self._task, return_exceptions=True)
        self._let_go(self._runtime.bus)
        await self._stack.aclose()
        return True

    def _die(self) -> None:
        """Stop at whichever await each task of the worker is."""
        self._dead.set()
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    @staticmethod
    def _let_go(bus: Bus) -> None:
        """A process that is killed gives nothing back: its claims run out by themselves."""
        assert isinstance(bus, PostgresBus)
        bus._held.clear()
        bus._returned.clear()

    @property
    def busy(self) -> bool:
        """Whether a message is under way, also one that another worker has ended meanwhile."""
        return any(not task.done() for task in self._busy)

    async def _pass(self, point: str) -> None:
        self._note(point)
        if self._dead.is_set() or point == self._fatal_point:
            self._dead.set()
            await asyncio.Event().wait()

    def _note(self, point: str) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        if point == "outbound.claimed":
            self._busy.add(task)
        elif point == "outbound.decided":
            self._busy.discard(task)
