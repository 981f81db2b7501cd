"""Requests that nobody should send: each has an answer, none of them is our fault."""

import asyncio
import itertools
import random
import re
from collections.abc import AsyncIterator, Iterable
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.api.test_server import address_of
from tests.support.api import Api, open_api, problem_of

PATIENCE = 30.0
ROUTES = (
    (b"GET", b"/customers"), (b"POST", b"/customers"), (b"PATCH", b"/customers/x"),
    (b"DELETE", b"/customers/x"), (b"POST", b"/webhooks/fake"), (b"GET", b"/sync-events"),
    (b"POST", b"/sync-events/retry"), (b"GET", b"/dead-letters/x"), (b"GET", b"/metrics"),
    (b"POST", b"/connections/fake/pause"), (b"GET", b"/health/live"), (b"GET", b"/docs"),
)  # fmt: skip
HEADERS = (
    b"Accept", b"Accept-Encoding", b"Authorization", b"Content-Encoding", b"Content-Length",
    b"Content-Type", b"Cookie", b"Expect", b"Host", b"Idempotency-Key", b"If-Match",
    b"If-None-Match", b"Origin", b"Range", b"Referer", b"Sec-Fetch-Site", b"TE", b"Connection",
    b"Transfer-Encoding", b"Upgrade", b"X-Correlation-Id", b"X-Forwarded-For", b"X-Signature",
    b"Sec-WebSocket-Key", b"Forwarded", b"X-HTTP-Method-Override", b"Trailer", b"Date",
)  # fmt: skip
WAITED_FOR = frozenset({b"Content-Length", b"Transfer-Encoding", b"Upgrade"})
"""Of these some values announce a body, which would be waited for."""
VALUES = (
    b"", b" ", b",", b"*", b"\"", b"\"\"", b"W/", b"null", b"http://[", b"http://[::1", b"//", b":",
    b"http://a:b", b"https://a:99999999", b"\xff\xfe", b"\xed\xa0\x80", b"a" * 4000, b"=", b";",
    b";;q=;", b"text/plain;version=", b"text/plain; version=1.0.0; escaping=x", b"Bearer",
    b"application/openmetrics-text; version=x.y", b"application/openmetrics-text;version=9.9.9",
    b"application/openmetrics-text; version=1.0.0; escaping=\xe9", b"text/plain;version=999",
    b"application/json; charset=", b"application/json; charset=utf-8; charset=x", b"a/b; c=\"",
    b"gzip", b"gzip, gzip", b"chunked", b"100-continue", b"websocket", b"h2c", b"-1", b"0x10",
    b"1e9", b"99999999999999999999", b"\"0001\"", b"bytes=0-,", b"Bearer zsk_" + b"a" * 60,
    b"same-origin", b"cross-site", b"127.0.0.1", b"[::1", b"%00", b"%s%n{0}", b"\t", b"1, 2, 3",
)  # fmt: skip
TARGETS = (
    b"*", b"/", b"//", b"/%00", b"/%", b"/%zz", b"/customers/%ED%A0%80", b"/customers/%2e%2e",
    b"/customers?%", b"/customers?=&=&&", b"/customers?a[]=1", b"/customers?;", b"/customers#x",
    b"http://[/", b"http://evil/customers", b"http://a:b/", b"https://a:99999999/customers",
    b"/connections/%00/pause", b"/webhooks/%ff", b"/webhooks/" + b"x" * 4000, b"/sync-events/%0a",
    b"/metrics?name[]=%ED%A0%80", b"/metrics?name[]=", b"/metrics?x", b"\xff", b"x", b"?", b"/?/..",
    b"/customers/" + b"%2f" * 1000, b"/docs/../customers", b"/customers;a=b", b"://", b"/\\",
)  # fmt: skip


@pytest_asyncio.fixture
async def hasty(database_url: str) -> AsyncIterator[Api]:
    """Yield an API with a short deadline for slow senders."""
    async with open_api(database_url, request_timeout_seconds=2.0) as api:
        yield api


async def raw(api: Api, sent: bytes) -> bytes:
    """Send bytes and no more; return all that is answered."""
    parts = urlsplit(address_of(api))
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


async def statuses(api: Api, sent: bytes) -> list[int]:
    return [int(s) for s in re.findall(rb"HTTP/1\.[01] (\d{3}) ", await raw(api, sent))]


async def check(api: Api, requests: Iterable[bytes]) -> None:
    """Each request has an answer, and none is our fault."""
    places = asyncio.Semaphore(8)

    async def one(sent: bytes) -> None:
        async with places:
            found = await statuses(api, sent)
        assert found, sent
        assert all(status < 500 for status in found), (sent, found)

    await asyncio.gather(*(one(sent) for sent in requests))


def request(method: bytes, target: bytes, lines: Iterable[bytes], body: bytes = b"") -> bytes:
    head = b"\r\n".join([method + b" " + target + b" HTTP/1.1", *lines, b"Connection: close"])
    return head + b"\r\n\r\n" + body


def host(api: Api) -> bytes:
    return b"Host: " + urlsplit(address_of(api)).netloc.encode()


async def test_no_header_is_our_fault(api: Api) -> None:
    rng = random.Random(11)
    pairs = itertools.product([name for name in HEADERS if name not in WAITED_FOR], VALUES)
    await check(
        api,
        (
            request(method, target, [host(api), name + b": " + value])
            for name, value in pairs
            for method, target in rng.sample(ROUTES, 3)
        ),
    )


async def test_no_mixture_of_headers_is_our_fault(hasty: Api) -> None:
    rng = random.Random(7)
    requests = []
    for _ in range(1500):
        method, target = rng.choice(ROUTES)
        count = rng.randint(2, 5)
        lines = [rng.choice(HEADERS) + b": " + rng.choice(VALUES) for _ in range(count)]
        body = rng.choice([b"", b"{}", b"0\r\n\r\n", b"\x00"])
        requests.append(request(method, target, [host(hasty), *lines], body))
    await check(hasty, requests)


async def test_no_request_line_is_our_fault(api: Api) -> None:
    methods = (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"get")
    lines = [host(api), b"Content-Length: 0"]
    await check(api, (request(method, target, lines) for method in methods for target in TARGETS))


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nAuthorization\x00: Bearer canary-secret\r\n\r\n",
        b"canary-secret\r\n\r\n",
        b"GET /" + b"canary-secret" * 1000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"canary-secret" * 1000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: canary-secret\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: canary-secret\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: canary-secret\r\n\r\n",
        b"POST /customers HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\ncanary-secret\r\n",
    ],
)
async def test_what_is_no_http_is_not_repeated(hasty: Api, sent: bytes) -> None:
    answered = await raw(hasty, sent)
    assert b"canary" not in answered
    assert b"Python" not in answered
    assert b"aiohttp" not in answered
    assert b"\r\nServer: zenskar\r\n" in answered
    assert b"application/problem+json" in answered


async def test_a_name_of_a_megabyte_is_not_repeated(api: Api) -> None:
    for body in ({"x" * 1_000_000: 1}, {"metadata": {"y" * 1_000_000: 1}}):
        refused = await api.client.post("/customers", json=body)
        await problem_of(refused, 422)
        assert len(await refused.read()) < 5000
    refused = await api.client.get(f"/webhooks/{'z' * 4000}")
    assert len(await refused.read()) < 1000


async def test_a_foreign_or_broken_origin_changes_nothing(api: Api) -> None:
    for origin in ("http://[", "http://a:b:c", "x", "", "https://evil.example", "null"):
        headers = {"Origin": origin}
        await problem_of(await api.client.post("/connections/fake/pause", headers=headers), 403)
    assert await api.flow.scalar("SELECT count(*) FROM connections") == 0


async def test_the_fuzzed_api_asks_for_keys_too(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        for value in VALUES:
            lines = [b"Host: x", b"Authorization: " + value]
            for status in await statuses(api, request(b"GET", b"/customers", lines)):
                assert status in {400, 401, 429}
