"""The options of sockets by which the loss of a host is noticed."""

import asyncio
import socket
from typing import Any

import pytest

from zenskar.db.driver.address import read_address
from zenskar.db.driver.keepalive import Keepalive
from zenskar.errors import ConfigurationError

SILENT = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 10_000,
}
LINUX = pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="an option of Linux")


async def options(keepalive: Keepalive) -> tuple[bool, dict[str, int]]:
    """Return the options of a socket, with the names of Linux."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    keepalive.apply(writer.transport)
    opened: Any = writer.get_extra_info("socket")
    kept = bool(opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    found = {n: opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, n)) for n in SILENT}
    writer.close()
    server.close()
    return kept, found


@LINUX
async def test_a_silent_host_is_noticed_within_seconds() -> None:
    assert await options(Keepalive.of({})) == (True, SILENT)


@LINUX
async def test_the_url_sets_the_options() -> None:
    given = {
        "keepalives_idle": "60",
        "keepalives_interval": "20",
        "keepalives_count": "4",
        "tcp_user_timeout": "90000",
    }
    wanted = dict(zip(SILENT, (60, 20, 4, 90_000), strict=True))
    assert await options(Keepalive.of(given)) == (True, wanted)
    kept, found = await options(Keepalive.of({"keepalives": "0", "tcp_user_timeout": "0"}))
    assert (kept, found["TCP_USER_TIMEOUT"]) == (False, 0)


@pytest.mark.parametrize("query", ["keepalives_count=128", "tcp_user_timeout=-1", "keepalives=on"])
def test_an_option_that_is_no_number_is_refused_by_name(query: str) -> None:
    with pytest.raises(ConfigurationError, match=query.partition("=")[0]):
        read_address(f"postgresql://host/name?{query}")
