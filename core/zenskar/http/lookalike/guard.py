"""Allow control requests from this machine only, and from no web page in a local browser."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from aiohttp import web

_FOREIGN = frozenset({"cross-site", "same-site"})


def refusal(request: web.Request) -> tuple[int, str] | None:
    """Return the status and the reason of a refused control request, None for an allowed one."""
    if not is_loopback(request.remote):
        return 403, "the control surface answers to this machine only"
    if not is_for_this_machine(request):
        return 403, "the control surface answers to localhost with its own port only"
    if _is_foreign(request):
        return 403, "the control surface does not answer to pages of other sites"
    if request.body_exists and request.content_type != "application/json":
        return 415, "the Content-Type must be application/json"
    return None


def is_for_this_machine(request: web.Request) -> bool:
    """Return whether the `Host` header names this machine and this port.

    Another site's domain name may resolve to this machine (DNS rebinding); its `Host` header still
    holds that name.
    """
    hosts = request.headers.getall("Host", [])
    bound = request.transport.get_extra_info("sockname") if request.transport else None
    if len(hosts) != 1 or bound is None:
        return False
    try:
        parts = urlsplit(f"//{hosts[0]}")
        port = parts.port or 80
    except ValueError:
        return False
    plain = parts.netloc == hosts[0] and "@" not in hosts[0]
    return (
        plain
        and port == bound[1]
        and (parts.hostname == "localhost" or is_loopback(parts.hostname))
    )


def leads_here(url: str) -> bool:
    """Return whether a URL names this machine's loopback interface."""
    host = urlsplit(url).hostname
    return host == "localhost" or is_loopback(host)


def is_loopback(address: str | None) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_foreign(request: web.Request) -> bool:
    if request.headers.get("Sec-Fetch-Site") in _FOREIGN:
        return True
    own = f"http://{request.headers.get('Host')}"
    return any(origin != own for origin in request.headers.getall("Origin", []))
