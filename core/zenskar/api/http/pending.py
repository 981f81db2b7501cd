"""Bound the bytes of request bodies that a process holds at a time."""

from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.errors import Unavailable

_FREE = 16 * 1024
"""Bytes of each body that do not count, so that large bodies cannot keep small bodies out. The
number of connections bounds their sum."""
_HELD = web.RequestKey("held_bytes", int)


class PendingBodies:
    """Bounds the bytes that all unanswered requests hold together.

    Otherwise many senders fill the memory with bodies that never end, each within its own limit
    and without a valid signature.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._charged = 0

    @web.middleware
    async def count_body(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the bytes of a body from their arrival until the request is answered."""
        if not request.body_exists:
            return await handler(request)
        request[PENDING] = self
        try:
            return await handler(request)
        finally:
            self.release(request)

    def charge(self, request: web.Request, size: int) -> None:
        """Count bytes that have arrived. Raises `Unavailable` above the bound."""
        before = request.get(_HELD, 0)
        added = max(before + size, _FREE) - max(before, _FREE)
        if added and self._charged + added > self._most:
            raise Unavailable("too many large bodies are on their way")
        self._charged += added
        request[_HELD] = before + size

    def release(self, request: web.Request) -> None:
        """Subtract the bytes of an answered request."""
        self._charged -= max(request.get(_HELD, 0), _FREE) - _FREE
        request[_HELD] = 0


PENDING = web.RequestKey("pending_bodies", PendingBodies)
"""The counter of a request that has a body."""
