"""Renew the credentials of a client: one renewal at a time, for all calls that wait."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from zenskar.http.credentials import Credentials
from zenskar.http.http_errors import HttpError, RenewalFailed

Renew = Callable[[], Awaitable[Credentials]]


class Renewal:
    """Holds credentials that expire, and renews them after a refusal."""

    def __init__(self, renew: Renew, seconds: float) -> None:
        self._renew, self._seconds = renew, seconds
        self._current: Credentials | None = None
        self._running: asyncio.Task[Credentials] | None = None

    async def credentials(self, refused: Credentials | None = None) -> Credentials:
        """Return credentials other than the refused ones. Raises `RenewalFailed`.

        All calls wait for the same renewal, also when it fails.
        """
        if self._current is not None and self._current is not refused:
            return self._current
        if self._running is None:
            self._current = None
            self._running = asyncio.create_task(self._ask())
            self._running.add_done_callback(self._finished)
        # A call that is cancelled must not cancel the renewal of the other calls.
        return await asyncio.shield(self._running)

    def cancel(self) -> None:
        """Cancel a running renewal."""
        if self._running is not None:
            self._running.cancel()

    async def _ask(self) -> Credentials:
        try:
            async with asyncio.timeout(self._seconds):
                self._current = await self._renew()
        except HttpError as error:
            problem = "renewal of the credentials"
            raise RenewalFailed(
                error.method, error.answer, code=error.code, problem=problem
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            problem = f"{type(error).__name__} in the renewal of the credentials"
            raise RenewalFailed("POST", problem=problem) from error
        return self._current

    def _finished(self, task: asyncio.Task[Credentials]) -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # seen, also when no call waits any longer
