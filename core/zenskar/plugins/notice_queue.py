"""Call one broadcast plugin after commits, in threads of its own.

Two daemon threads serve a plugin. The first makes the calls. The second passes the notices on and
measures the time, because Python cannot stop a function that hangs.
"""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import Any

from zenskar.model.notices import Notice
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics
from zenskar.telemetry.stack_traces import place

_MARGIN = 1.1
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _NoticeCall:
    """A call of a hook. `ended` is set when it has returned, `late` when it takes too long."""

    hook: str
    function: Callable[..., Any]
    notice: Notice
    ended: threading.Event = field(default_factory=threading.Event)
    late: threading.Event = field(default_factory=threading.Event)


class NoticeQueue:
    """The notices that wait for a plugin: at most `most`, each call within `seconds`."""

    def __init__(self, plugin: str, metrics: Metrics, *, seconds: float, most: int) -> None:
        self._plugin = plugin
        self._metrics = metrics
        self._seconds = seconds
        self._waiting: Queue[_NoticeCall | None] = Queue(most)
        self._begun: Queue[_NoticeCall | None] = Queue()
        self._threads: tuple[threading.Thread, ...] = ()
        self._hangs = self._closed = False

    def put(self, hook: str, function: Callable[..., Any], notice: Notice) -> None:
        """Add a notice without waiting; drop and count it if the queue is full or closed."""
        if self._closed:
            self._count(hook, "dropped")
            return
        try:
            self._start()
            self._waiting.put_nowait(_NoticeCall(hook, function, notice))
        except (Full, RuntimeError):  # also when no thread can be started
            self._count(hook, "dropped")

    def close(self) -> None:
        """Wait until the waiting notices are passed on, for the time of one call at most."""
        if not self._threads:
            return
        until = time.monotonic() + (0 if self._hangs else self._seconds)
        self._closed = True
        with suppress(Full):
            self._waiting.put(None, timeout=max(0.0, until - time.monotonic()))
            self._threads[0].join(max(0.0, until - time.monotonic()))
        self._drop_waiting()
        self._waiting.put_nowait(None)

    def _start(self) -> None:
        if self._threads:
            return
        self._threads = tuple(
            threading.Thread(target=run, name=f"broadcast-{self._plugin}-{part}", daemon=True)
            for part, run in (("queue", self._pass_on), ("calls", self._make_calls))
        )
        for thread in self._threads:
            thread.start()

    def _pass_on(self) -> None:
        while (call := self._waiting.get()) is not None:
            self._begun.put(call)
            if not call.ended.wait(self._seconds):
                call.late.set()
                self._hangs = True
                self._count(call.hook, "timed_out")
                _log.error("broadcast_timed_out", plugin=self._plugin, hook=call.hook)
                call.ended.wait()
                self._hangs = False
        self._begun.put(None)

    def _make_calls(self) -> None:
        with asyncio.Runner() as runner:
            while (call := self._begun.get()) is not None:
                problem = self._failure_of(runner, call)
                if not call.late.is_set():
                    self._count(call.hook, "failed" if problem else "ok")
                if problem and not call.late.is_set():
                    _log.error(
                        "broadcast_failed", plugin=self._plugin, hook=call.hook, problem=problem
                    )
                call.ended.set()

    def _failure_of(self, runner: asyncio.Runner, call: _NoticeCall) -> str | None:
        """Make a call; return the place of its failure, None when it has succeeded."""
        try:
            result = call.function(notice=call.notice)
            if inspect.isawaitable(result):
                # The other thread uses the same limit, so cancel the call after its report.
                waiting = asyncio.wait_for(_error_of(result), _MARGIN * self._seconds)
                error = runner.run(waiting)
                return None if error is None else place(error)
        except BaseException as failure:  # noqa: BLE001 - `sys.exit` in a plugin must end no process
            return place(failure)
        return None

    def _drop_waiting(self) -> None:
        with suppress(Empty):
            while True:
                if (call := self._waiting.get_nowait()) is not None:
                    self._count(call.hook, "dropped")

    def _count(self, hook: str, result: str) -> None:
        self._metrics.broadcasts.labels(self._plugin, hook, result).inc()


async def _error_of(result: Awaitable[Any]) -> BaseException | None:
    """Return the error of a call, None without one.

    If a task kept the error of `sys.exit`, asyncio would log its text later.
    """
    try:
        await result
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - `sys.exit` in a plugin must end no process
        return error
    return None
