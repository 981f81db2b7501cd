"""Workers that can be killed between any two steps."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from tests.simulation.clock import Clock
from zenskar.bus.postgres import PostgresBus
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import Settings

POINTS = (
    "inbound.claimed",
    "inbound.applied",
    "outbound.claimed",
    "outbound.stored_intent",
    "outbound.called",
    "outbound.stored_answer",
    "outbound.decided",
)


class Worker:
    """A worker with a runtime, a bus and claims of its own, as if it were a process."""

    def __init__(self, settings: Settings, environment: dict[str, str], clock: Clock) -> None:
        self._settings = settings
        self._environment = environment
        self._clock = clock
        self._stack = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._fatal_point: str | None = None
        self._dead = asyncio.Event()
        self._runtime: Runtime | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to work."""
        opened = open_runtime(self._settings, self._environment)
        runtime = await self._stack.enter_async_context(opened)
        context = replace(runtime.context, passing=self._pass, clock=self._clock)
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

    async def killed(self) -> bool:
        """Bury the worker if it has been killed; tell whether that is so."""
        if not self._dead.is_set() or self._task is None or self._runtime is None:
            return False
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        assert isinstance(self._runtime.bus, PostgresBus)
        # A process that is killed gives nothing back: its claims run out by themselves.
        self._runtime.bus._held.clear()
        await self._stack.aclose()
        return True

    async def _pass(self, point: str) -> None:
        if self._dead.is_set() or point == self._fatal_point:
            self._dead.set()
            await asyncio.Event().wait()
