"""Senders who never end hold little, and keep nobody out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from tests.api.test_server import address_of
from tests.support.api import ADA, Api, event, open_api
from tests.support.wait import until
from zenskar.api.http.pending import PendingBodies
from zenskar.db.driver.engine import transaction
from zenskar.errors import Unavailable
from zenskar.settings import load

PATIENCE = 10.0
KILO = 1024
UNSIGNED = b"POST /webhooks/fake HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n"
SIGNED = UNSIGNED + b"X-Signature: bad\r\n"


class Sender:
    """A connection on which a test sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def send_chunk(self, size: int) -> None:
        self.send(b"%x\r\n%s\r\n" % (size, b" " * size))

    async def status(self) -> int:
        """Return the status of the answer; 0 when the connection ends without one."""
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readline()
        return int(line.split(b" ")[1]) if line else 0

    async def is_closed(self) -> bool:
        """Return whether the other side has ended the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read() == b""

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def senders(api: Api, count: int) -> AsyncIterator[list[Sender]]:
    parts = urlsplit(address_of(api))
    made = []
    for _ in range(count):
        made.append(Sender(*await asyncio.open_connection(parts.hostname, parts.port)))
        # In sequence, because the test depends on the order of arrival.
        await asyncio.sleep(0)
    try:
        yield made
    finally:
        for sender in made:
            sender.close()


def host(api: Api) -> bytes:
    return urlsplit(address_of(api)).netloc.encode()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /webhooks/fake HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"POST /webhooks/fake HTTP/1.1\r\nContent-Length: 1000\r\n", 400),
        (b"POST /webhooks/fake HTTP/1.1\r\nContent-Length: 1000\r\nX-Signature:\r\n", 400),
        (b"POST /webhooks/other HTTP/1.1\r\nContent-Length: 1000\r\n", 404),
        (b"POST /webhooks/fake HTTP/1.1\r\nX-Signature: a\r\nContent-Length: 1048577\r\n", 413),
        (
            b"POST /webhooks/fake HTTP/1.1\r\nX-Signature: a\r\nContent-Encoding: gzip\r\n",
            415,
        ),
        (b"POST /nowhere HTTP/1.1\r\nContent-Length: 1000\r\n", 404),
        (b"DELETE /webhooks/fake HTTP/1.1\r\nContent-Length: 1000\r\n", 405),
        (b"POST /customers HTTP/1.1\r\nContent-Length: 1000\r\n", 415),
    ],
)
async def test_headers_alone_are_refused_at_once(api: Api, head: bytes, status: int) -> None:
    async with senders(api, 1) as (sender,):
        sender.send(head + b"Host: " + host(api) + b"\r\n\r\n")
        assert await sender.status() == status


async def test_without_a_key_no_body_is_read(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api, senders(api, 1) as (sender,):
        sender.send(
            b"POST /customers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n"
        )
        assert await sender.status() == 401


async def test_unfinished_bodies_have_a_limit_together(database_url: str) -> None:
    settings = {"max_body_bytes": 200 * KILO, "max_pending_body_bytes": 250 * KILO}
    async with open_api(database_url, **settings) as api, senders(api, 4) as made:
        for sender in made[:3]:
            sender.send(SIGNED % host(api) + b"\r\n")
            sender.send_chunk(120 * KILO)
        answered = await asyncio.wait(
            [asyncio.create_task(sender.status()) for sender in made[:3]],
            return_when=asyncio.FIRST_COMPLETED,
            timeout=PATIENCE,
        )
        (refused,) = answered[0]
        assert refused.result() == 503
        for task in answered[1]:
            task.cancel()
        # Small bodies are still received.
        assert (await api.webhook(event())).status == 200
        for sender in made[:3]:
            sender.close()

        async def has_room() -> bool:
            big = await api.webhook(b" " * (190 * KILO))
            return big.status == 400

        await until(has_room)


def test_bytes_are_given_back() -> None:
    pending = PendingBodies(100 * KILO)
    for _ in range(10):
        requests = [make_mocked_request("POST", "/") for _ in range(2)]
        for request in requests:
            for _ in range(3):
                pending.charge(request, 20 * KILO)
        with pytest.raises(Unavailable):
            pending.charge(requests[0], 20 * KILO)
        small = make_mocked_request("POST", "/")
        pending.charge(small, 16 * KILO)
        for request in (*requests, small):
            pending.release(request)


async def test_idle_connections_give_way_and_that_is_logged(database_url: str) -> None:
    async with open_api(database_url, max_connections=16) as api:
        with capture_logs() as logs:
            async with senders(api, 60) as made:
                for sender in made[:40]:
                    assert await sender.is_closed()
                assert (await api.client.post("/customers", json=ADA)).status == 201
                made[-1].send(b"GET /health/live HTTP/1.1\r\nHost: " + host(api) + b"\r\n\r\n")
                assert await made[-1].status() == 200
        (line,) = [log for log in logs if log["event"] == "connections_full"]
        assert (line["log_level"], line["most"]) == ("warning", 16)
        assert line["closed"] + line["refused"] == 1


async def test_unfinished_heads_and_bodies_give_way(database_url: str) -> None:
    async with open_api(database_url, max_connections=16) as api, senders(api, 60) as made:
        for number, sender in enumerate(made):
            sender.send(SIGNED % host(api) + b"\r\n" * (number % 2))
        assert (await api.client.post("/customers", json=ADA)).status == 201


async def test_when_all_are_being_answered_a_new_one_is_refused(database_url: str) -> None:
    async with open_api(database_url, max_connections=16, auth="required") as api:
        lines = [b"Host: x", b"Authorization: Bearer zsk_" + b"a" * 8 + b"_" + b"b" * 43]
        head = b"\r\n".join([b"GET /customers HTTP/1.1", *lines, b"", b""])
        async with senders(api, 17) as made:
            async with transaction(api.services.engine) as db:
                await db.exec_driver_sql("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE")
                for sender in made[1:]:
                    sender.send(head)
                # The first one was idle when the last one came, and gave way.
                assert await made[0].is_closed()
                await all_are_asked(api)
                async with senders(api, 1) as (refused,):
                    assert await refused.status() == 503
            for sender in made[1:]:
                assert await sender.status() in {401, 429}


async def all_are_asked(api: Api) -> None:
    """Wait until the one query that asks for keys waits for the lock."""

    async def waits() -> bool:
        return bool(
            await api.flow.scalar(
                "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
                " WHERE NOT granted AND query LIKE '%FROM api_keys%'"
            )
        )

    await until(waits)


def test_the_limits_fit_together() -> None:
    with pytest.raises(Exception, match="MAX_PENDING_BODY_BYTES must not be below"):
        load({}, max_body_bytes=4096, max_pending_body_bytes=2048)
