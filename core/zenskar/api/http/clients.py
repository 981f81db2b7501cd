"""Find the client address of a request, and check the host that the request is for."""

from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from zenskar.networks import Hosts, Networks, address_of, is_local

_ADDRESS = web.RequestKey("client_address", str)
_UNKNOWN = "an unknown address"


class Clients:
    """Finds the address of a client, also behind proxies.

    `X-Forwarded-For` counts only when a trusted proxy has sent it. Only the entries that trusted
    proxies have appended count: the sender can forge the rest.
    """

    def __init__(self, proxies: Networks | None) -> None:
        self._proxies = proxies

    @web.middleware
    async def find_address(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Store the address of the client for `client_address`."""
        peer = request.remote or _UNKNOWN
        request[_ADDRESS] = peer if self._proxies is None else self._origin(request, peer)
        return await handler(request)

    def _origin(self, request: web.Request, peer: str) -> str:
        lines = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
        hops = [hop for line in lines for hop in line.split(",")]
        found = peer
        while self._is_proxy(found) and hops:
            before = address_of(hops.pop())
            if before is None:
                break
            found = str(before)
        return found

    def _is_proxy(self, text: str) -> bool:
        address = address_of(text)
        return address is not None and self._proxies is not None and address in self._proxies


class LocalHosts:
    """Refuses requests for other hosts while authentication is off.

    DNS rebinding: the page of another site can resolve its own name to this machine, and could
    then read and write everything. The browser still sends that name in `Host`.
    """

    def __init__(self, others: Hosts | None) -> None:
        self._others = others

    @web.middleware
    async def check_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raise 403 unless the request is for this machine and port, or for an allowed host."""
        if not self.allows(request):
            raise web.HTTPForbidden(
                text="without API keys only requests for this machine are served: see "
                "ZENSKAR_ALLOWED_HOSTS"
            )
        return await handler(request)

    def allows(self, request: web.BaseRequest) -> bool:
        """Return whether a request is for this machine and port, or for an allowed host."""
        hosts = request.headers.getall(hdrs.HOST, ())
        return len(hosts) == 1 and self._is_known(hosts[0], request)

    def _is_known(self, host: str, request: web.BaseRequest) -> bool:
        if self._others is not None and host in self._others:
            return True
        transport = request.transport
        bound: Any = transport.get_extra_info("sockname") if transport else None
        return bound is not None and is_local(host, bound[1])


def client_address(request: web.Request) -> str:
    """Return the address that `Clients` has found."""
    address: str = request.get(_ADDRESS, _UNKNOWN)
    return address
