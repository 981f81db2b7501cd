"""Check the webhooks that a look-alike sends for our own pushes."""

import asyncio
import time
from typing import Self

import pytest
from aiohttp import web

from zenskar.errors import InvalidInput
from zenskar.model.integration import WebhookEvent, WebhookRequest
from zenskar.plugins.base import BaseIntegration
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check
from zenskar.testing.feed_checks import check_origin, named
from zenskar.testing.life_checks import person
from zenskar.testing.subject import SOURCE, Subject
from zenskar.testing.webhook_checks import read_events


class WebhookCatcher:
    """Accepts every webhook at an address of this machine, and keeps it in `received`."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[WebhookRequest] = asyncio.Queue()
        app = web.Application()
        app.router.add_post("/webhooks/{name}", self._receive)
        app.router.add_post("/webhooks/{name}/{token}", self._receive)
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        """Return the base address."""
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _receive(self, request: web.Request) -> web.Response:
        webhook = WebhookRequest(
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
            time.time(),
            url=f"{self.address}{request.raw_path}",
            query={name: request.query.getall(name) for name in request.query},
            token=request.match_info.get("token"),
        )
        self.received.put_nowait(webhook)
        return web.Response()


class OriginChecks(AuthorPart):
    """The checks of `origin_key` in webhooks."""

    @check("origins")
    async def test_a_webhook_names_the_origin(self) -> None:
        """The webhook of our push is genuine, and its `origin_key` is the key of the push."""
        if self.integration.verify_webhook is BaseIntegration.verify_webhook:
            pytest.skip("the integration takes no webhooks")
        async with WebhookCatcher() as catcher, self.connected() as subject:
            await self.send_webhooks_to(f"{catcher.address}/webhooks/{SOURCE}{self.token_path()}")
            for entity_type in subject.entity_types:
                document = person(subject, entity_type)
                push = subject.make_push(
                    subject.new_change(entity_type, document, subject.record_id())
                )
                made = await subject.push(push)
                event = await self._event_about(catcher, subject, made.external_id)
                check_origin(event, push.idempotency_key)

    async def _event_about(
        self, catcher: WebhookCatcher, subject: Subject, external_id: str
    ) -> WebhookEvent:
        """Wait for the event of an object."""
        try:
            async with asyncio.timeout(self.patience_seconds):
                while True:
                    for event in _events(subject, await catcher.received.get()):
                        if named(event) == external_id:
                            return event
        except TimeoutError:
            raise AssertionError("no webhook names the object of a push") from None


def _events(subject: Subject, webhook: WebhookRequest) -> list[WebhookEvent]:
    try:
        subject.router.call(SOURCE, "verify_webhook", request=webhook)
        return read_events(subject, webhook)
    except InvalidInput as error:
        raise AssertionError(f"a webhook of the look-alike is refused: {error}") from error
