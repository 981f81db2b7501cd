"""How many bytes of bodies a process holds for requests that are not answered yet."""

from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.errors import Unavailable

_FREE = 16 * 1024
"""What every request may hold anyway: the number of connections is bounded, so it adds up to
little, and large bodies cannot keep small ones out."""
_HELD = web.RequestKey("held_bytes", int)


class PendingBodies:
    """Bounds the bytes that unanswered requests hold together.

    Else so many senders, each within its own limit, fill the memory, without a signature or
    with requests that never end.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._charged = 0

    @web.middleware
    async def count_body(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the bytes of a body from when they arrive until the request is answered."""
        if not request.body_exists:
            return await handler(request)
        request[PENDING] = self
        try:
            return await handler(request)
        finally:
            self.give_back(request)

    def take(self, request: web.Request, size: int) -> None:
        """Count bytes that have arrived; `Unavailable` when there are too many already."""
        before = request.get(_HELD, 0)
        charge = max(before + size, _FREE) - max(before, _FREE)
        if charge and self._charged + charge > self._most:
            raise Unavailable("too many large bodies are on their way")
        self._charged += charge
        request[_HELD] = before + size

    def give_back(self, request: web.Request) -> None:
        """Forget the bytes of a request that is answered."""
        self._charged -= max(request.get(_HELD, 0), _FREE) - _FREE


PENDING = web.RequestKey("pending_bodies", PendingBodies)
"""What counts the bytes of a request that has a body."""
