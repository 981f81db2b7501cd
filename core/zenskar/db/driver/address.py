"""The address of the database: a URL as PostgreSQL's own programs read it.

https://www.postgresql.org/docs/15/libpq-connect.html
"""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import asyncpg

from zenskar.db.driver.keepalive import Keepalive
from zenskar.errors import ConfigurationError

_EXAMPLE = "postgresql://user:password@host:5432/zenskar"
_USER_INFO = r"(?:(?P<user>[^:@/?]*)(?::(?P<password>{password}))?@)?"
_REST = r"(?P<hosts>[^/?@]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
# A password should have its signs quoted; the second form reads a password without quotes.
_FORMS = tuple(re.compile(_USER_INFO.format(password=p) + _REST) for p in ("[^/?]*", ".*"))
_HOST = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d*))?")
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_TLS = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
)
_PASSED = (*_TLS, "passfile", "service", "krbsrvname", "gsslib")
_OWN = (
    *("host", "port", "user", "password", "dbname", "ssl", "connect_timeout", "options"),
    *("application_name", "fallback_application_name", "target_session_attrs"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    "tcp_user_timeout",
)
_TUNING = frozenset({"sslcompression"})
"""Ignored parameters, without an effect on the meaning of the URL."""
_HARMLESS = {
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "client_encoding": ("auto", "utf8", "utf-8", "UTF8", "UTF-8"),
    "load_balance_hosts": ("disable",),
    "sslsni": ("1",),
    "sslcertmode": ("allow",),
}
"""Parameters accepted with the values that describe the present behaviour."""
_WRITABLE = ("any", "primary", "read-write")
_NO_VERIFICATION = frozenset({"disable", "allow", "prefer", "require", "verify-ca"})


_Host = tuple[str, int]


class CannotConnect(OSError):
    """Raised when no host of the database can be used; its text may be shown."""


@dataclass(frozen=True, slots=True)
class _Hosts:
    names: tuple[str, ...]
    ports: tuple[int, ...]


class Address:
    """Opens connections, first to the host of the last successful attempt."""

    def __init__(
        self,
        hosts: _Hosts,
        arguments: Mapping[str, Any],
        limit: float | None,
        keepalive: Keepalive,
    ) -> None:
        named = zip(hosts.names, hosts.ports, strict=True)
        self._hosts: list[_Host | None] = list(named) or [None]
        self._arguments = arguments
        self._limit = limit
        self._keepalive = keepalive

    async def connect(self, *, seconds: float, application: str, **options: Any) -> Any:
        """Connect to the first host that accepts; `seconds` limit the attempt at each host.

        Raises `CannotConnect` or another `OSError` when no host can be used, and
        `ConfigurationError` when asyncpg refuses a parameter.
        """
        settings = {"application_name": application, **self._arguments["server_settings"]}
        given = {**self._arguments, **options, "server_settings": settings}
        failures: list[Exception] = []
        for host in list(self._hosts):
            try:
                opened = await _connect(host, min(seconds, self._limit or seconds), given)
            except (OSError, asyncpg.CannotConnectNowError) as error:
                failures.append(error)
            else:
                self._keepalive.apply(getattr(opened, "_transport", None))
                self._prefer(host)
                return opened
        raise failures[0]

    def _prefer(self, host: _Host | None) -> None:
        self._hosts.sort(key=lambda each: each != host)


async def _connect(
    host: _Host | None,
    seconds: float,
    given: Mapping[str, Any],
) -> Any:
    where: dict[str, Any] = {"host": host[0], "port": host[1]} if host else {}
    try:
        return await asyncpg.connect(timeout=seconds, **where, **given)
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise ConfigurationError(f"ZENSKAR_DATABASE_URL: {error}") from error
    except asyncpg.exceptions.TargetServerAttributeNotMatched as error:
        raise CannotConnect("none of the database's hosts takes writes") from error
    except ssl.SSLCertVerificationError as error:
        raise CannotConnect(f"the database's certificate: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise CannotConnect(f"TLS with the database failed: {error.reason}") from error
    except ConnectionError as error:
        if "SSL" in str(error):
            raise CannotConnect("the database takes no TLS, which sslmode asks for") from error
        raise


def read_address(url: str) -> Address:
    """Parse a URL.

    Raises `ConfigurationError`, which names the unsupported parameter but no value.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+asyncpg"} or not separator:
        raise ConfigurationError(
            f"the database URL must start with postgresql://, for example {_EXAMPLE}"
        )
    for form in _FORMS:
        found = form.fullmatch(rest)
        hosts = found and _hosts(found["hosts"])
        if found and hosts is not None:
            return _address(found.groupdict(), hosts)
    raise ConfigurationError(f"the database URL cannot be read, for example {_EXAMPLE}")


def _address(parts: dict[str, str | None], hosts: _Hosts) -> Address:
    parameters = _parameters(parts["query"] or "")
    named = {
        "user": parts["user"] or parameters.get("user"),
        "password": parts["password"] or parameters.get("password"),
        "database": parts["database"] or parameters.get("dbname"),
    }
    arguments: dict[str, Any] = {k: unquote(v) for k, v in named.items() if v}
    hosts = _named_by_parameters(parameters) or hosts
    arguments["target_session_attrs"] = _target(parameters, len(hosts.names))
    arguments["server_settings"] = _server_settings(parameters)
    arguments |= _tls(parameters)
    return Address(hosts, arguments, _limit(parameters), _keepalive(parameters))


def _parameters(query: str) -> dict[str, str]:
    """Return the parameters by name, without empty ones."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    found = {unquote(name): unquote(value) for name, _, value in pairs if value}
    for name, value in found.items():
        if name in _HARMLESS and value not in _HARMLESS[name]:
            raise _refused(name, "is followed only as " + " or ".join(_HARMLESS[name]))
        if name not in {*_PASSED, *_OWN, *_TUNING, *_HARMLESS}:
            raise _refused(name, "is not known; a setting of the server goes into options=-c…")
    return found


def _hosts(text: str) -> _Hosts | None:
    """Parse `host:port,host:port`; return None for another text."""
    found = [_HOST.fullmatch(unquote(each)) for each in text.split(",")] if text else []
    if not all(found):
        return None
    taken = [each for each in found if each is not None]
    names = tuple(each["ipv6"] or each["name"] for each in taken)
    ports = tuple(int(each["port"] or 5432) for each in taken)
    if any(not 0 < port < 65536 for port in ports):
        raise ConfigurationError("ZENSKAR_DATABASE_URL: a port is a number up to 65535")
    return _Hosts(names, ports) if all(names) else None


def _named_by_parameters(parameters: Mapping[str, str]) -> _Hosts | None:
    if "host" not in parameters:
        return None
    names = parameters["host"].split(",")
    given = parameters.get("port", "5432").split(",")
    ports = given * len(names) if len(given) == 1 else given
    if len(ports) != len(names) or not all(port.isdigit() for port in ports):
        raise _refused("port", "has to be a number, for each host or for all")
    return _Hosts(tuple(names), tuple(int(port) for port in ports))


def _target(parameters: Mapping[str, str], hosts: int) -> str:
    # Among several hosts there is usually a standby, and every program here writes.
    target = parameters.get("target_session_attrs", "read-write" if hosts > 1 else "any")
    if target not in _WRITABLE:
        raise _refused("target_session_attrs", "has to be one of " + ", ".join(_WRITABLE))
    return target


def _server_settings(parameters: Mapping[str, str]) -> dict[str, str]:
    name = parameters.get("application_name") or parameters.get("fallback_application_name")
    options = parameters.get("options")
    return ({"application_name": name} if name else {}) | ({"options": options} if options else {})


def _limit(parameters: Mapping[str, str]) -> float | None:
    seconds = parameters.get("connect_timeout")
    if seconds is None:
        return None
    if not re.fullmatch(r"-?\d{1,6}", seconds):
        raise _refused("connect_timeout", "has to be a number of seconds")
    # PostgreSQL's own programs read 1 as 2, and 0 as no limit.
    return max(2.0, float(seconds)) if int(seconds) > 0 else None


def _keepalive(parameters: Mapping[str, str]) -> Keepalive:
    try:
        return Keepalive.of(parameters)
    except ValueError as error:
        raise _refused(str(error), "has to be a number that is not too large") from None


def _tls(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of asyncpg for TLS: it reads most of them from a URL only."""
    given = {name: parameters[name] for name in _PASSED if name in parameters}
    if (ssl_mode := parameters.get("ssl")) is not None:
        known = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
        given.setdefault("sslmode", known.get(ssl_mode, ssl_mode))
    if given.get("sslrootcert") == "system":
        if given.get("sslmode", "verify-full") in _NO_VERIFICATION:
            raise _refused("sslrootcert", "is system, which needs sslmode=verify-full")
        return {"ssl": _system_trust(given)}
    for name in _FILES:
        if name in given and not os.access(given[name], os.R_OK):
            raise _refused(name, f"names a file that cannot be read: {given[name]}")
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    return {"dsn": f"postgresql:///?{query}"} if query else {}


def _system_trust(given: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if "sslcert" in given:
        context.load_cert_chain(given["sslcert"], given.get("sslkey"), given.get("sslpassword"))
    return context


def _refused(name: str, why: str) -> ConfigurationError:
    shown = name if re.fullmatch(r"[A-Za-z_]{1,40}", name) else "a parameter"
    return ConfigurationError(f"ZENSKAR_DATABASE_URL: {shown} {why}")
