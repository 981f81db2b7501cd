"""Workers that can be killed between any two steps."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
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
    "poll.published",
)


class Worker:
    """A worker with its own runtime, bus and claims, like a process."""

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
        self._interruption: tuple[str, Callable[[], Awaitable[None]]] | None = None
        self._dead = asyncio.Event()
        self._busy: set[asyncio.Task[Any]] = set()
        self._runtime: Runtime | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the worker."""
        opened = open_runtime(self._settings, self._environment, plugins=self._plugins)
        runtime = await self._stack.enter_async_context(opened)
        context = replace(
            runtime.context, failpoint=self._pass, clock=self._ours, monotonic=self._clock
        )
        self._runtime = replace(runtime, context=context)
        self._task = asyncio.create_task(self._runtime.worker().run(self._stopping))

    async def stop(self) -> None:
        """Stop as on SIGTERM, unless the worker is dead."""
        self._stopping.set()
        if await self.killed():
            return
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stack.aclose()

    def kill_at(self, point: str) -> None:
        """Kill the worker at the next pass of this failpoint."""
        self._fatal_point = point

    def interrupt_at(self, point: str, interrupt: Callable[[], Awaitable[None]]) -> None:
        """Call `interrupt` at the next pass of this failpoint."""
        self._interruption = point, interrupt

    def spare(self) -> None:
        """Revoke the kill at a failpoint that the worker has not passed."""
        self._fatal_point = None

    def forget_interruption(self) -> None:
        """Revoke the interruption at a failpoint that the worker has not passed."""
        self._interruption = None

    def kill_in(self, seconds: float) -> None:
        """Kill the worker after a while, at any await."""
        asyncio.get_running_loop().call_later(seconds, self._die)

    async def killed(self) -> bool:
        """Clean up after a killed worker; return whether it was killed."""
        if not self._dead.is_set() or self._task is None or self._runtime is None:
            return False
        self._die()
        await asyncio.gather(self._task, return_exceptions=True)
        self._release(self._runtime.bus)
        await self._stack.aclose()
        return True

    def _die(self) -> None:
        """Stop each task of the worker at its present await."""
        self._dead.set()
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    @staticmethod
    def _release(bus: Bus) -> None:
        """A killed process releases no claims: they expire."""
        assert isinstance(bus, PostgresBus)
        bus._held.clear()
        bus._returned.clear()

    @property
    def busy(self) -> bool:
        """Whether a message is in progress, also one that another worker has ended meanwhile."""
        return any(not task.done() for task in self._busy)

    async def _pass(self, point: str) -> None:
        self._note(point)
        if self._interruption is not None and self._interruption[0] == point:
            (_, interrupt), self._interruption = self._interruption, None
            await interrupt()
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
