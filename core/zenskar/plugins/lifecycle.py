"""Open the integrations of a process independently, and retry failed ones.

A plugin that raises, exits or hangs while it starts turns off its own connection only. Every wait
for a plugin has a time limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

from zenskar.errors import ZenskarError
from zenskar.plugins.configuration import ConfiguredConnection, rebuild
from zenskar.plugins.failure_text import one_line
from zenskar.plugins.router import PluginRouter
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import place

OPEN_SECONDS = 5.0
"""The time limit of `open` when a process starts."""
_REOPEN_SECONDS = 30.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0
_log = get_logger(__name__)


async def start(connection: ConfiguredConnection, seconds: float) -> str | None:
    """Open an integration; return the problem that prevents its use, None when it is open."""
    if connection.problem:
        return connection.problem
    return await _call_within("open", connection.integration.open, seconds)


async def stop(connection: ConfiguredConnection) -> None:
    """Close an integration, also after `open` failed half-way."""
    if connection.problem:
        return
    problem = await _call_within("close", connection.integration.close, OPEN_SECONDS)
    if problem:
        _log.warning("connection_not_closed", source=connection.connection.name, problem=problem)


class Lifecycle:
    """Opens and closes the integrations, and puts rebuilt ones in `connections` and the router."""

    def __init__(
        self,
        router: PluginRouter,
        connections: MutableMapping[str, ConfiguredConnection],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._router = router
        self._connections = connections
        self._sleep = sleep
        self._retries: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Open all integrations concurrently; turn off failed ones and retry them in background."""
        names = list(self._connections)
        problems = await asyncio.gather(
            *(start(self._connections[name], OPEN_SECONDS) for name in names)
        )
        for name, problem in zip(names, problems, strict=True):
            if problem is not None:
                self._turn_off(name, problem)
                self._retries.append(asyncio.create_task(self._retry(name)))

    async def close(self) -> None:
        """Stop the retries and close all integrations."""
        for task in self._retries:
            task.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)
        await asyncio.gather(*(stop(connection) for connection in self._connections.values()))

    async def _retry(self, name: str) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._sleep(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)
            await stop(self._connections[name])
            # Build a new object: `open` may have left the old one in any state.
            again = rebuild(self._connections[name])
            problem = await start(again, _REOPEN_SECONDS)
            self._connections[name] = again
            if problem is None:
                self._router.turn_on(name, again.integration)
                _log.info("connection_on", source=name)
                return
            if problem != self._router.off.get(name):
                self._turn_off(name, problem)

    def _turn_off(self, name: str, problem: str) -> None:
        self._router.turn_off(name, problem)
        plugin = self._connections[name].plugin
        _log.error("connection_off", source=name, plugin=plugin.name, problem=problem)


async def _call_within(
    hook: str, call: Callable[[], Awaitable[None]], seconds: float
) -> str | None:
    """Await a hook; return its failure. A hook that exceeds the limit is cancelled, not awaited."""
    task = asyncio.create_task(_failure_of(hook, call))
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if done:
        return task.result()
    task.cancel()
    return f"`{hook}` has not ended within {seconds:g} seconds"


async def _failure_of(hook: str, call: Callable[[], Awaitable[None]]) -> str | None:
    try:
        await call()
    except KeyboardInterrupt:
        raise
    except ZenskarError as error:
        return one_line(str(error))
    except BaseException as error:  # noqa: BLE001 - a plugin that exits or cancels ends nothing else
        return f"`{hook}` failed: {place(error)}"
    return None
