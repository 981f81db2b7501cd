"""The request of a webhook as its integration gets it, and the outputs that hold no token."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from sqlalchemy import text
from yarl import URL

from tests.support.api import Api, body_of, event, open_api
from tests.support.fake import FakeIntegration, FakeSystem
from tests.support.flow import running_worker
from zenskar import WebhookRequest
from zenskar.db.schema.all_tables import metadata
from zenskar.networks import Networks
from zenskar.plugins.discovery import Plugin
from zenskar.webhooks import verify_token

GIVEN = {"X-Correlation-Id": "given"}
"""A header that makes a webhook take the application's way."""
RIGHT, WRONG = "right-f3a9c1d2", "wrong-b7e4d5c6"


class SeeingIntegration(FakeIntegration):
    """Keeps the requests that it verifies."""

    system = FakeSystem()
    seen: ClassVar[list[WebhookRequest]]

    def verify_webhook(self, request: WebhookRequest) -> None:
        self.seen.append(request)


class TokenIntegration(SeeingIntegration):
    """Accepts the webhooks with a token in their path, and fails for an unknown type."""

    webhook_headers = ()

    def verify_webhook(self, request: WebhookRequest) -> None:
        verify_token(RIGHT, request.token)

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Any:
        if body["type"] == "bug":
            raise ZeroDivisionError(request.token, request.url)
        return super().parse_webhook(request, body)


@asynccontextmanager
async def opened(
    database_url: str, kind: type[SeeingIntegration] = SeeingIntegration, **settings: Any
) -> AsyncIterator[tuple[Api, list[WebhookRequest]]]:
    """Open an API with a connection `seeing`, and yield the requests that the integration sees."""
    bound = type("BoundSeeing", (kind,), {"seen": []})
    extra = {"seeing": Plugin("seeing", "test-seeing", "1", bound)}
    async with open_api(database_url, "fake", extra=extra, **settings) as api:
        yield api, bound.seen


async def send(api: Api, path: str = "/webhooks/seeing", **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    target = URL(path, encoded=True)
    sent = await api.client.post(target, json=event(), headers={"X-Signature": "good", **named})
    await body_of(sent, 200)


async def test_both_ways_give_the_same_request(database_url: str) -> None:
    settings = {
        "public_url": "https://zenskar.example/sync/",
        "trusted_proxies": Networks("127.0.0.1"),
        "client_certificate_header": "X-Client-Cert",
    }
    async with opened(database_url, **settings) as (api, seen):
        passed = {"X_Forwarded_For": "192.0.2.7", "X_Client_Cert": "pem%20"}
        await send(api, **passed)
        await send(api, **passed, **GIVEN)
        # The bodies may differ in the second of their event.
        lean, whole = (replace(each, received_at=0.0, headers={}, body=b"") for each in seen)
        assert lean == whole
        assert (lean.method, lean.query, lean.token) == ("POST", {}, None)
        assert lean.url == "https://zenskar.example/sync/webhooks/seeing"
        assert (lean.peer, lean.certificate) == ("192.0.2.7", "pem%20")


@pytest.mark.parametrize("public_url", ["https://zenskar.example", None])
async def test_the_url_and_the_query_are_as_they_were_sent(
    database_url: str, public_url: str | None
) -> None:
    async with opened(database_url, public_url=public_url) as (api, seen):
        await send(api, "/webhooks/seeing?a=1&b=%2f+x&a=&c")
        (request,) = seen
        base = public_url or str(api.client._base_url).rstrip("/")
        assert request.url == f"{base}/webhooks/seeing?a=1&b=%2f+x&a=&c"
        assert request.query == {"a": ["1", ""], "b": ["/ x"], "c": [""]}


@pytest.mark.parametrize(("proxies", "sent"), [("10.0.0.0/8", "forged"), ("127.0.0.1", "")])
async def test_only_a_trusted_proxy_passes_addresses_and_certificates(
    database_url: str, proxies: str, sent: str
) -> None:
    trusted = Networks(proxies)
    settings = {"trusted_proxies": trusted, "client_certificate_header": "X-Client-Cert"}
    async with opened(database_url, **settings) as (api, seen):
        await send(api, X_Client_Cert=sent, X_Forwarded_For="nonsense")
        (request,) = seen
        assert (request.peer, request.certificate) == ("127.0.0.1", None)
        assert "forged" not in request.headers.values()


async def test_two_lines_of_certificates_prove_nothing(database_url: str) -> None:
    trusted = Networks("127.0.0.1")
    settings = {"trusted_proxies": trusted, "client_certificate_header": "X-Client-Cert"}
    async with opened(database_url, **settings) as (api, seen):
        lines = [("X-Signature", "good"), ("X-Client-Cert", "forged"), ("X-Client-Cert", "true")]
        await body_of(await api.client.post("/webhooks/seeing", json=event(), headers=lines), 200)
        assert [request.certificate for request in seen] == [None]


async def outputs(api: Api) -> str:
    """Return everything that the API shows and that the database keeps."""
    letters = (await body_of(await api.client.get("/dead-letters"), 200))["data"]
    paths = [f"/dead-letters/{letter['id']}?reveal=true" for letter in letters]
    paths += ["/metrics", "/connections", "/sync-events", "/dead-letters", "/health/ready"]
    shown = [await (await api.client.get(path)).text() for path in paths]
    async with api.flow.runtime.engine.connect() as db:
        for table in metadata.tables:
            rows = await db.execute(text(f"SELECT t::text FROM {table} AS t"))
            shown += [row[0] for row in rows]
    return "\n".join(shown)


async def test_no_output_holds_the_token_of_a_path(
    database_url: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    async with opened(database_url, TokenIntegration) as (api, _):
        for level in (logging.INFO, logging.DEBUG):
            caplog.set_level(level)
            for token, kind, status in (
                (RIGHT, "customer.created", 200),
                (WRONG, "customer.created", 400),
                (RIGHT, "bug", 200),
                (f"{WRONG}/more", "bug", 404),
            ):
                path = f"/webhooks/seeing/{token}"
                sent = await api.client.post(path, json=event(f"evt_{level}", kind))
                answers.append(str(sent.headers) + await sent.text())
                assert sent.status == status
            for method, expect in (("GET", {}), ("POST", {"Expect": "cake"})):
                sent = await api.client.request(
                    method, f"/webhooks/seeing/{RIGHT}", headers=expect, data=b""
                )
                answers.append(str(sent.headers) + await sent.text())
                assert sent.status in {405, 417}
        async with running_worker(api.flow.runtime):
            await api.flow.settle()
        shown = await outputs(api)
        assert "seeing" in shown
        assert "customer.created" in shown
    lines = [record.getMessage() + str(record.__dict__) for record in caplog.records]
    everything = "\n".join([*answers, *lines, *capsys.readouterr(), shown])
    for token in (RIGHT, WRONG):
        assert token not in everything


def test_no_secret_of_a_request_is_in_its_text() -> None:
    request = WebhookRequest(
        {"authorization": RIGHT},
        RIGHT.encode(),
        url=f"/webhooks/seeing/{RIGHT}",
        query={"key": [RIGHT]},
        certificate=RIGHT,
        token=RIGHT,
    )
    assert RIGHT not in repr(request)
