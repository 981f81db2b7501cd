"""Serving: slow senders, bad HTTP, ports, the end."""

import asyncio
import logging
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, web

from tests.support.api import Api, app_of, event, open_api, problem_of
from zenskar.api.lean_webhooks import LeanWebhooks
from zenskar.api.server import serve
from zenskar.errors import ConfigurationError
from zenskar.settings import load

PATIENCE = 10.0


async def talk(address: str, data: bytes) -> bytes:
    """Send bytes, then nothing more; return all that comes back until the connection ends.

    The host `x` stands for the address.
    """
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(data.replace(b"Host: x\r\n", f"Host: {parts.netloc}\r\n".encode()))
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


async def never(_request: web.Request) -> web.Response:
    raise AssertionError


def address_of(api: Api) -> str:
    return str(api.client._base_url)


async def test_slow_headers_are_cut_off(database_url: str) -> None:
    async with open_api(database_url, request_timeout_seconds=0.2) as api:
        assert (
            await talk(address_of(api), b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""
        )
        assert await talk(address_of(api), b"") == b""


async def test_a_slow_body_is_408(database_url: str) -> None:
    head = (
        b"POST /customers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    async with open_api(database_url, request_timeout_seconds=0.2) as api:
        answer = await talk(address_of(api), head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b"Connection: close" in answer


async def test_a_slow_webhook_is_408(database_url: str) -> None:
    head = (
        b"POST /webhooks/fake HTTP/1.1\r\nHost: x\r\nX-Signature: good\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"
    )
    async with open_api(database_url, request_timeout_seconds=0.2) as api:
        assert (await talk(address_of(api), head)).startswith(b"HTTP/1.1 408 ")


async def test_work_that_takes_too_long_is_503() -> None:
    async def stuck(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        serve(app_of("/stuck", stuck, timeout_seconds=0.05), "127.0.0.1", 0, load({})) as address,
        ClientSession(address) as client,
    ):
        response = await client.get("/stuck")
        await problem_of(response, 503)
        assert response.headers["Retry-After"] == "5"


async def test_a_taken_port_is_one_clear_line(database_url: str) -> None:
    async with open_api(database_url) as api:
        port = urlsplit(address_of(api)).port
        assert port
        with pytest.raises(ConfigurationError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: "):
            async with serve(app_of("/", never), "127.0.0.1", port, load({})):
                raise AssertionError


async def test_a_bug_in_front_of_all_middlewares_is_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "".join(["can", "ary"])

    def fail(*_: object) -> None:
        raise KeyError(secret)

    monkeypatch.setattr(LeanWebhooks, "_receive", fail)
    answer = await api.webhook(event())
    assert (await problem_of(answer, 500))["type"].endswith("/internal")
    logged = capsys.readouterr().out
    assert "request_failed" in logged
    assert "test_server.py" in logged
    assert secret not in logged


async def test_what_is_no_http_is_not_repeated_in_logs(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sent = b"GET / HTTP/1.1\r\nAuthorization\x00: Bearer canary-secret\r\n\r\n"
    assert (await talk(address_of(api), sent)).startswith(b"HTTP/1.0 400 ")
    assert "http_refused" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "target", [b"/customers?email=\xff\xfe", b"/customers/\xff", b"/customers?\xed\xa0\x80=1"]
)
async def test_bytes_that_are_no_text_are_refused(api: Api, target: bytes) -> None:
    sent = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await talk(address_of(api), sent)).split(b" ")[1] in {b"400", b"404"}


async def test_requests_that_run_are_finished_before_the_end() -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        started.set()
        await release.wait()
        return web.Response(text="done")

    async with ClientSession() as client:
        async with serve(app_of("/slow", slow), "127.0.0.1", 0, load({})) as address:
            request = asyncio.create_task(client.get(f"{address}/slow"))
            await started.wait()
            asyncio.get_running_loop().call_later(0.05, release.set)
        assert await (await request).text() == "done"


async def test_the_end_does_not_wait_for_ever() -> None:
    started = asyncio.Event()

    async def stuck(_request: web.Request) -> web.Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with asyncio.timeout(PATIENCE), ClientSession() as client:
        settings = load({}, shutdown_grace_seconds=0.1)
        async with serve(app_of("/stuck", stuck), "127.0.0.1", 0, settings) as address:
            request = asyncio.create_task(client.get(f"{address}/stuck"))
            await started.wait()
        await asyncio.gather(request, return_exceptions=True)
