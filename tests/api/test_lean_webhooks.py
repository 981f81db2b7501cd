"""A plain webhook is answered in front of the application as the application would answer it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import pytest
from aiohttp import ClientResponse, ClientSession, web
from aiohttp.typedefs import Handler

from tests.support.api import Api, body_of, event, open_api, problem_of
from zenskar.api.app import create_app, create_probes
from zenskar.api.lean_webhooks import front_of
from zenskar.api.server import serve
from zenskar.db.outbox import OutboxMessage

PATH = "/webhooks/fake"
GIVEN = {"X-Correlation-Id": "given"}
"""A header that makes a webhook take the application's way."""


async def send(
    client: ClientSession, headers: Mapping[str, str], signature: str = "good", name: str = "evt_1"
) -> ClientResponse:
    """Send a webhook with more headers."""
    return await client.post(
        PATH, json=event(name=name), headers={"X-Signature": signature, **headers}
    )


@pytest.fixture
def taken(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the methods of the requests that reach the router of the application."""
    seen: list[str] = []
    resolve = web.UrlDispatcher.resolve

    async def record(router: web.UrlDispatcher, request: web.Request) -> web.UrlMappingMatchInfo:
        seen.append(request.method)
        return await resolve(router, request)  # type: ignore[return-value]

    monkeypatch.setattr(web.UrlDispatcher, "resolve", record)
    return seen


def requests(api: Api) -> dict[tuple[str, ...], float]:
    """Return the numbers of requests by method, route and status."""
    family = next(iter(api.services.metrics.http_requests.collect()))
    return {
        tuple(sample.labels.values()): sample.value
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


async def test_both_ways_give_the_same_answer(api: Api, taken: list[str]) -> None:
    lean = await send(api.client, {})
    assert taken == []
    whole = await send(api.client, GIVEN, name="evt_2")
    assert taken == ["POST"]
    assert await body_of(lean, 200) == await body_of(whole, 200) == {"accepted": 1}
    assert lean.headers.keys() == whole.headers.keys()
    assert common(lean) == common(whole)


async def test_the_application_answers_a_connection_that_ends(api: Api, taken: list[str]) -> None:
    response = await send(api.client, {"Connection": "close"})
    assert await body_of(response, 200) == {"accepted": 1}
    assert response.headers["Connection"] == "close"
    assert taken == ["POST"]


def common(response: ClientResponse) -> dict[str, str]:
    """Return the headers that two responses to equal requests share."""
    own = {"x-correlation-id", "date"}
    return {k: v for k, v in response.headers.items() if k.lower() not in own}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "elsewhere.example"}, 403),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Expect": "a-miracle"}, 417),
    ],
)
async def test_the_application_refuses_every_unusual_webhook(
    api: Api, taken: list[str], headers: Mapping[str, str], status: int
) -> None:
    await problem_of(await send(api.client, headers), status)
    assert taken == ["POST"]


@pytest.mark.parametrize(
    "path", ["/webhooks/fake?a=1", "/webhooks/fake/token", "/webhooks/other", "/customers"]
)
async def test_the_application_answers_at_every_other_address(
    api: Api, taken: list[str], path: str
) -> None:
    await api.client.post(path, json=event(), headers={"X-Signature": "good"})
    assert taken == ["POST"]


async def test_a_webhook_is_counted_once_whatever_becomes_of_it(api: Api) -> None:
    assert (await send(api.client, {})).status == 200
    assert (await send(api.client, {}, signature="bad")).status == 400
    assert requests(api) == {
        ("POST", "/webhooks/{source}", "200"): 1,
        ("POST", "/webhooks/{source}", "400"): 1,
    }


async def test_a_refusal_has_one_correlation_id(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = await send(api.client, {}, signature="bad")
    await problem_of(refused, 400)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "status=400" in line]
    assert f"correlation_id={refused.headers['X-Correlation-Id']}" in line


async def endless(size: int) -> AsyncIterator[bytes]:
    """Yield the beginning of a body that never ends."""
    yield b" " * size
    await asyncio.Event().wait()


async def test_bodies_hold_nothing_after_their_response(database_url: str) -> None:
    settings = {
        "request_timeout_seconds": 0.3,
        "max_body_bytes": 70_000,
        "max_pending_body_bytes": 100_000,
    }
    async with open_api(database_url, "fake", **settings) as api:
        for _ in range(3):
            data = endless(60_000)
            slow = await api.client.post(PATH, data=data, headers={"X-Signature": "good"})
            await problem_of(slow, 408)
        for number in range(3):
            padded = json.dumps(event(name=f"evt_{number}")).ljust(60_000).encode()
            assert (await api.webhook(padded)).status == 200
        whole = [
            sample.value
            for family in api.services.metrics.http_seconds.collect()
            for sample in family.samples
            if sample.name.endswith("_sum")
        ]
        assert sum(whole) >= 3 * 0.3


async def test_a_bus_that_is_too_slow_is_503(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_messages: Sequence[OutboxMessage]) -> None:
        await asyncio.Event().wait()

    async with open_api(database_url, "fake", request_timeout_seconds=0.3) as api:
        monkeypatch.setattr(api.flow.runtime.bus, "publish", hang)
        late = await api.webhook(event())
        assert (await problem_of(late, 503))["detail"] == "the request took too long"
        assert int(late.headers["Retry-After"]) > 0


async def test_others_middlewares_and_signals_see_every_webhook(api: Api) -> None:
    seen = []

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        seen.append("middleware")
        return await handler(request)

    async def sign(_request: web.Request, _response: web.StreamResponse) -> None:
        seen.append("signal")

    for add in (
        lambda app: app.middlewares.append(trace),
        lambda app: app.on_response_prepare.append(sign),
    ):
        app = create_app(api.services)
        add(app)
        served = serve(app, "127.0.0.1", 0, api.services.settings)
        async with served as address, ClientSession(address) as client:
            assert (await send(client, {}, name=f"evt_{len(seen)}")).status == 200
    assert seen == ["middleware", "signal"]


async def test_at_debug_every_webhook_is_a_line(api: Api, taken: list[str]) -> None:
    logger = logging.getLogger("zenskar.api.http.request_metrics")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        await send(api.client, {})
    finally:
        logger.setLevel(before)
    assert taken == ["POST"]


async def application(_request: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


async def test_an_application_without_webhooks_has_no_front(api: Api) -> None:
    assert front_of(create_probes(api.services))(application) is application


@pytest.mark.parametrize("auth", ["off", "required"])
async def test_every_middleware_of_the_api_is_one_that_the_front_stands_in_for(
    api: Api, auth: str
) -> None:
    """A new middleware turns the front off, until the front makes its check or needs none."""
    settings = api.services.settings.model_copy(update={"auth": auth})
    app = create_app(replace(api.services, settings=settings))
    assert front_of(app)(application) is not application
