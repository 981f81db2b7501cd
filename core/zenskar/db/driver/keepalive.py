"""Notice that the host of a database is gone: it sends no end of its connections.

Without these options a statement waits for its own timeout, and a connection that only listens
waits for hours. https://man7.org/linux/man-pages/man7/tcp.7.html
"""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_AF_INET = (socket.AF_INET, socket.AF_INET6)
_MOST = 32_767
"""The largest value of the options in seconds that Linux accepts."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The time without an answer after which a connection is broken.

    `user_timeout` is in milliseconds, the others are seconds and probes, as in PostgreSQL's own
    programs; 0 is the default of the operating system.
    """

    enabled: bool = True
    idle: int = 5
    interval: int = 2
    count: int = 3
    user_timeout: int = 10_000

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Keepalive":
        """Return the options that a URL names. Raises `ValueError` with the name of a bad one."""
        own = cls()
        return cls(
            enabled=_number(parameters, "keepalives", 1) != 0,
            idle=_number(parameters, "keepalives_idle", own.idle),
            interval=_number(parameters, "keepalives_interval", own.interval),
            count=_number(parameters, "keepalives_count", own.count, 127),
            user_timeout=_number(parameters, "tcp_user_timeout", own.user_timeout, 2**31 - 1),
        )

    def apply(self, transport: Any) -> None:
        """Set the options on the socket of a connection; a socket file has none."""
        opened = transport.get_extra_info("socket") if transport is not None else None
        if opened is None or opened.family not in _AF_INET:
            return
        for level, name, value in self._options():
            number = getattr(socket, name, None)
            if number is not None and value:
                opened.setsockopt(level, number, value)

    def _options(self) -> list[tuple[int, str, int]]:
        timeout = (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", self.user_timeout)
        if not self.enabled:
            return [timeout]
        return [
            (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
            (socket.IPPROTO_TCP, "TCP_KEEPIDLE", self.idle),
            (socket.IPPROTO_TCP, "TCP_KEEPINTVL", self.interval),
            (socket.IPPROTO_TCP, "TCP_KEEPCNT", self.count),
            timeout,
        ]


def _number(parameters: Mapping[str, str], name: str, default: int, most: int = _MOST) -> int:
    given = parameters.get(name)
    if given is None:
        return default
    if not re.fullmatch(r"\d{1,10}", given) or int(given) > most:
        raise ValueError(name)
    return int(given)
