"""Ask one broadcast plugin for additions to pushes, in a thread with an event loop of its own.

The workers' event loop waits for an answer for a bounded time, and is never blocked by the plugin.
"""

import asyncio
import copy
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from zenskar.model.fields import escape
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics
from zenskar.telemetry.stack_traces import place

ENRICH = "enrich_push"
_MOST_MEMBERS, _MOST_CHARACTERS = 50, 200
_log = get_logger(__name__)


class PushEnricher:
    """Asks a plugin; a plugin that fails or is late adds nothing."""

    def __init__(self, plugin: str, function: Callable[..., Any], metrics: Metrics) -> None:
        self.plugin = plugin
        self._function = function
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop | None = None
        self._responds = threading.Event()
        self._responds.set()

    async def ask(self, seconds: float, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the additions of the plugin, empty without an answer within `seconds`."""
        if not self._responds.is_set():
            # A function that does not return would delay every push.
            return self._nothing("dropped")
        answer = self._answer(copy.deepcopy(dict(arguments)))
        try:
            call = asyncio.run_coroutine_threadsafe(answer, self._started())
        except RuntimeError:  # no thread can be started, or the loop was closed
            answer.close()
            return self._nothing("dropped")
        try:
            async with asyncio.timeout(seconds):
                added, problem = await asyncio.wrap_future(call)
        except TimeoutError:
            self._await_response()
            _log.error("broadcast_timed_out", plugin=self.plugin, hook=ENRICH)
            return self._nothing("timed_out")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return self._nothing("dropped")  # the loop of the plugin has stopped
        if problem is not None:
            _log.error("broadcast_failed", plugin=self.plugin, hook=ENRICH, problem=problem)
            return self._nothing("failed")
        self._count("ok")
        return added

    def close(self) -> None:
        """Stop the event loop of the plugin once its function returns."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    async def _answer(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
        """Return the additions and None, or nothing and the place of the failure."""
        try:
            made = self._function(**arguments)
            return _checked(await made if inspect.isawaitable(made) else made), None
        except BaseException as error:  # noqa: BLE001 - also `sys.exit`, which must end no thread
            return {}, place(error)

    def _await_response(self) -> None:
        """Ask no further until the event loop of the plugin works again."""
        responds = self._responds = threading.Event()
        with suppress(RuntimeError):  # the loop was closed
            self._started().call_soon_threadsafe(responds.set)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            name = f"broadcast-{self.plugin}-enrich"
            threading.Thread(target=_run, args=(loop,), name=name, daemon=True).start()
            self._loop = loop
        return self._loop

    def _nothing(self, result: str) -> dict[str, Any]:
        self._count(result)
        return {}

    def _count(self, result: str) -> None:
        self._metrics.broadcasts.labels(self.plugin, ENRICH, result).inc()


def with_members(body: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with the added members at every level; a member of the body stays as it is."""
    made = dict(body)
    for name, value in added.items():
        own = made.get(name)
        if name not in made:
            made[name] = value
        elif isinstance(own, Mapping) and isinstance(value, Mapping):
            made[name] = with_members(own, value)
    return made


def added_members(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the pointers of the members that a body has after additions and had not before."""
    return list(islice(_new_members(before, after, ""), _MOST_MEMBERS))


def _new_members(before: Mapping[str, Any], after: Mapping[str, Any], at: str) -> Iterator[str]:
    for name, value in after.items():
        pointer, own = f"{at}/{escape(name)}", before.get(name)
        if name not in before:
            yield pointer[:_MOST_CHARACTERS]
        elif isinstance(own, Mapping) and isinstance(value, Mapping):
            yield from _new_members(own, value, pointer)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _checked(made: Any) -> dict[str, Any]:
    """Return additions as JSON; raise `TypeError` or `ValueError` for any other result."""
    if made is not None and not isinstance(made, Mapping):
        raise TypeError("a plugin must return a mapping or None")
    kept: dict[str, Any] = json.loads(json.dumps(dict(made or {}), allow_nan=False))
    return kept
