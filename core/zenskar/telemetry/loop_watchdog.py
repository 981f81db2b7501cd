"""Report code that blocks the event loop, because it stops every other task of the process."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import FrameType

_FRAMES = 20
_RESUME_SECONDS = 0.1
"""A resumed process (SIGCONT) exceeds the limit before its loop can run, so wait this long too."""


@dataclass(frozen=True, slots=True)
class Blockage:
    """The code that blocks the loop, `seconds` after the watchdog's last ping.

    `plugin` is the plugin whose code runs, None without one. `stack` holds places only, the
    innermost first: a value may be a secret or personal data.
    """

    plugin: str | None
    seconds: float
    stack: tuple[str, ...]


@asynccontextmanager
async def watched_loop(
    packages: Mapping[str, str],
    report: Callable[[Blockage], None],
    *,
    limit_seconds: float,
) -> AsyncIterator[None]:
    """Watch the running loop; another thread calls `report` once for each blockage.

    `packages` holds the plugins' names by the top-level package of their code.
    """
    watchdog = _Watchdog(asyncio.get_running_loop(), packages, report, limit_seconds)
    thread = threading.Thread(target=watchdog.run, name="loop-watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watchdog.stopping.set()
        await asyncio.to_thread(thread.join)


class _Watchdog:
    """Pings the loop periodically from its own thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        packages: Mapping[str, str],
        report: Callable[[Blockage], None],
        limit_seconds: float,
    ) -> None:
        self.stopping = threading.Event()
        self._loop = loop
        self._thread = threading.get_ident()
        self._packages = packages
        self._report = report
        self._limit = limit_seconds

    def run(self) -> None:
        """Watch until `stopping` is set."""
        while not self.stopping.wait(self._limit / 2):
            asked, alive = time.monotonic(), threading.Event()
            try:
                self._loop.call_soon_threadsafe(alive.set)
            except RuntimeError:
                return  # the loop was closed before this thread ended
            if alive.wait(self._limit) or alive.wait(_RESUME_SECONDS):
                continue
            self._report(self._blockage(time.monotonic() - asked))
            alive.wait()

    def _blockage(self, seconds: float) -> Blockage:
        # Documented, despite its underscore: https://docs.python.org/3/library/sys.html.
        frames = _frames(sys._current_frames().get(self._thread))  # noqa: SLF001
        owners = (self._packages.get(_package(frame)) for frame in frames)
        places = tuple(_place(frame) for frame in frames[:_FRAMES])
        return Blockage(next(filter(None, owners), None), seconds, places)


def _frames(innermost: FrameType | None) -> list[FrameType]:
    frames = []
    while innermost is not None:
        frames.append(innermost)
        innermost = innermost.f_back
    return frames


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
