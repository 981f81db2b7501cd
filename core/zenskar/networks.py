"""Parse networks and hosts of settings."""

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})?)(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Networks:
    """A comma-separated list of networks in CIDR notation; an address is a network of one.

    Raises `ValueError` when an entry is not a network.
    """

    text: str
    _networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        try:
            found = tuple(ipaddress.ip_network(part) for part in _parts(self.text))
        except ValueError:
            raise ValueError("must be networks such as 10.0.0.0/8, comma-separated") from None
        object.__setattr__(self, "_networks", found)

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class Hosts:
    """A comma-separated list of hosts, each with a port unless the port is 80 or 443.

    Raises `ValueError` when an entry is not a host.
    """

    text: str
    _hosts: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = [part.lower() for part in _parts(self.text)]
        if not all(_HOST.fullmatch(part) for part in parts):
            raise ValueError("must be hosts such as zenskar.example:8443, comma-separated")
        object.__setattr__(self, "_hosts", frozenset(parts))

    def __contains__(self, host: str) -> bool:
        return host.lower() in self._hosts


def address_of(text: str) -> Address | None:
    """Return the IP address in a text, without a port; None if the text holds no address."""
    text = text.strip()
    try:
        return _plain(ipaddress.ip_address(text))
    except ValueError:
        match = _HOST.fullmatch(text)
    try:
        return _plain(ipaddress.ip_address(match["name"].strip("[]"))) if match else None
    except ValueError:
        return None


def public_address(text: str) -> str:
    """Return a base address without the slash at its end.

    Raises `ValueError` for an address with other parts than scheme, host, port and path.
    """
    problem = "must be an address such as https://zenskar.example, without user and query"
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(problem) from None
    named = f"{parts.scheme}://{parts.netloc}{parts.path}"
    known = parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.netloc) and port != 0
    if not host or not known or named != text.strip() or not parts.path.isascii():
        raise ValueError(problem)
    return named.rstrip("/")


def alert_address(text: str) -> str:
    """Return the address that alerts are sent to.

    Raises `ValueError` for an address that is neither a webhook nor a mail server with a recipient,
    and for one that would send its password to another machine without TLS.
    """
    problem = "must be https://HOST/PATH or smtp://USER:PASSWORD@HOST:PORT/?to=MAILBOX"
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(problem) from None
    mail = parts.scheme in {"smtp", "smtps"} and "to" in parse_qs(parts.query)
    if not host or port == 0 or not (mail or parts.scheme in {"http", "https"}):
        raise ValueError(problem)
    if not text.isascii() or not text.strip().isprintable() or " " in text.strip():
        raise ValueError(problem)
    if parts.scheme == "http" and parts.username is not None and not is_loopback(host):
        raise ValueError("sends its password without TLS: use https://")
    return text.strip()


def is_local(host: str, port: int) -> bool:
    """Return whether a `Host` header names this machine's loopback interface and this port."""
    match = _HOST.fullmatch(host)
    if match is None or int(match["port"] or 80) != port:
        return False
    if match["name"].strip("[]").lower() == "localhost":
        return True
    address = address_of(match["name"])
    return address is not None and address.is_loopback


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _plain(address: Address) -> Address:
    """Return the IPv4 address of an IPv4-mapped IPv6 address: both name the same peer."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError("has an empty entry")
    return parts
