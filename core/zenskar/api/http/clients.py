"""Find the client address of a request, and check the host that the request is for."""

from functools import lru_cache
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDictProxy

from zenskar.networks import Hosts, Networks, address_of, is_local

_ADDRESS = web.RequestKey("client_address", str)
_UNKNOWN = "an unknown address"
_REMEMBERED = 256
"""The addresses that are known: to compare networks takes longer than to route a webhook."""


class Clients:
    """Finds the address and the certificate of a client, also behind proxies.

    `X-Forwarded-For` counts only when a trusted proxy has sent it. Only the entries that trusted
    proxies have appended count: the sender can forge the rest. The same holds for the header of
    certificates.
    """

    def __init__(self, proxies: Networks | None, certificate_header: str | None = None) -> None:
        self._proxies = proxies
        self._certificate_header = certificate_header
        self._origin = lru_cache(_REMEMBERED)(self._find_origin)

    @web.middleware
    async def find_address(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Store the address of the client for `client_address`."""
        request[_ADDRESS] = self.address(request) or _UNKNOWN
        return await handler(request)

    def address(self, request: web.BaseRequest) -> str | None:
        """Return the address of the client, None for a connection without addresses."""
        peer = request.remote
        if not peer or self._proxies is None:
            return peer
        return self._origin(peer, tuple(request.headers.getall(hdrs.X_FORWARDED_FOR, ())))

    def headers(self, request: web.BaseRequest) -> CIMultiDictProxy[str]:
        """Return the headers of a request, without a certificate that no trusted proxy passes."""
        name, headers = self._certificate_header, request.headers
        if name is None or name not in headers or self._is_proxy(request.remote or ""):
            return headers
        unproven = headers.copy()
        del unproven[name]
        return CIMultiDictProxy(unproven)

    def certificate(self, headers: CIMultiDictProxy[str]) -> str | None:
        """Return the certificate in the headers that `headers` has returned, None without one.

        Two lines prove nothing: the client may have sent the first.
        """
        if self._certificate_header is None:
            return None
        lines = headers.getall(self._certificate_header, ())
        return (lines[0] or None) if len(lines) == 1 else None

    def is_encrypted(self, request: web.BaseRequest) -> bool:
        """Return whether the client uses HTTPS, by the word of a trusted proxy where there is one.

        Two lines prove nothing: the client may have sent the first.
        """
        if request.secure or not self._is_proxy(request.remote or ""):
            return request.secure
        return request.headers.getall("X-Forwarded-Proto", ()) == ["https"]

    def _find_origin(self, peer: str, lines: tuple[str, ...]) -> str:
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
