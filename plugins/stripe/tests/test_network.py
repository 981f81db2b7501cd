"""Answers that no sandbox gives, and data that is never sent or logged."""

import logging
from typing import Any

import pytest
from aiohttp import web

from zenskar import FailureKind, IntentKind, Push
from zenskar_stripe import StripeIntegration
from zenskar_stripe.client import API_VERSION

from .conftest import Open, Serve

CREATE = Push(IntentKind.CREATE, "customer", "rec_1", None, {"email": "ada@example.com"}, "key_1")


async def kind(stripe: StripeIntegration) -> FailureKind | None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any error, that is the point
        await stripe.push(CREATE)
    failure = stripe.classify_error(caught.value)
    return failure.kind if failure else None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"", FailureKind.UNKNOWN_OUTCOME),
        (200, b"<html>", FailureKind.UNKNOWN_OUTCOME),
        (200, b'{"id": "cus_1', FailureKind.UNKNOWN_OUTCOME),
        (200, b"\xff\xfe", FailureKind.UNKNOWN_OUTCOME),
        (200, b"[]", FailureKind.UNKNOWN_OUTCOME),
        (200, b"null", FailureKind.UNKNOWN_OUTCOME),
        (200, b'"text"', FailureKind.UNKNOWN_OUTCOME),
        (200, b"{}", FailureKind.UNKNOWN_OUTCOME),
        (200, b'{"id": 7}', FailureKind.UNKNOWN_OUTCOME),
        (200, b'{"id": "cus_1", "object": ["customer"]}', None),
        (200, b"[" * 100_000, FailureKind.UNKNOWN_OUTCOME),
        (200, b'{"error": 7}', FailureKind.UNKNOWN_OUTCOME),
        (400, b'{"error": 7}', FailureKind.UNKNOWN_OUTCOME),
        (400, b'{"error": "invalid_request"}', FailureKind.REJECTED),
        (400, b"<html>", FailureKind.UNKNOWN_OUTCOME),
        (404, b"<html>", FailureKind.UNKNOWN_OUTCOME),
        (401, b"<html>", FailureKind.CREDENTIALS),
        (429, b"<html>", FailureKind.RATE_LIMITED),
        (503, b"<html>", FailureKind.UNKNOWN_OUTCOME),
    ],
)
async def test_strange_answers(
    opened: Open, served: Serve, status: int, body: bytes, expected: FailureKind | None
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json")

    stripe = await opened(api_base=await served(answer))
    if expected is None:
        assert (await stripe.push(CREATE)).seen.external_id == "cus_1"
    else:
        assert await kind(stripe) is expected


async def test_a_truncated_answer(opened: Open, served: Serve) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"id": "cus_1"')
        assert request.transport is not None
        request.transport.close()
        return response

    stripe = await opened(api_base=await served(answer))
    assert await kind(stripe) is FailureKind.UNKNOWN_OUTCOME


async def test_a_refused_connection(opened: Open, unused_tcp_port: int) -> None:
    stripe = await opened(api_base=f"http://127.0.0.1:{unused_tcp_port}")
    assert await kind(stripe) is FailureKind.UNKNOWN_OUTCOME
    assert not (await stripe.health()).ok


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(opened: Open, served: Serve, status: int) -> None:
    async def target(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.json_response({"id": "cus_1"})

    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": f"{elsewhere}/v1/customers"})

    reached: list[str] = []
    elsewhere = await served(target)
    stripe = await opened(api_base=await served(redirect))
    assert await kind(stripe) is FailureKind.UNKNOWN_OUTCOME
    assert reached == []


async def test_what_is_sent(opened: Open, served: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        sent.append((request.method, dict(request.headers), await request.text()))
        deleted = request.method == "DELETE"
        headers = {"Idempotent-Replayed": "true"}
        return web.json_response({"id": "cus_1", "deleted": deleted}, headers=headers)

    sent: list[tuple[str, dict[str, str], str]] = []
    stripe = await opened(api_base=await served(answer), api_key="sk_test_1")
    assert (await stripe.push(CREATE)).replayed
    await stripe.push(Push(IntentKind.DELETE, "customer", "rec_1", "a/../b?", {}, "key_2"))
    (_, first, body), (method, second, _) = sent
    assert first["Authorization"] == "Bearer sk_test_1"
    assert first["Stripe-Version"] == API_VERSION
    assert (first["Idempotency-Key"], body) == ("key_1", "email=ada%40example.com")
    assert method == "DELETE"
    assert "Idempotency-Key" not in second


async def test_an_id_cannot_lead_out_of_the_path(opened: Open, served: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        paths.append(request.rel_url.raw_path_qs)
        return web.json_response({"id": "cus_1"})

    paths: list[str] = []
    stripe = await opened(api_base=await served(answer))
    await stripe.fetch("customer", "../events?x=1#y")
    assert paths == ["/v1/customers/..%2Fevents%3Fx=1%23y"]


async def test_nothing_of_a_customer_is_logged(
    opened: Open, served: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        error: dict[str, Any] = {"type": "invalid_request_error", "message": "ada@example.com"}
        return web.json_response({"error": error}, status=400)

    with caplog.at_level(logging.DEBUG):
        stripe = await opened(api_base=await served(refuse))
        assert await kind(stripe) is FailureKind.REJECTED
    assert caplog.records
    assert "ada@example.com" not in caplog.text
