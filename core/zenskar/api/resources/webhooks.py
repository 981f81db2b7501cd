"""Serve `/webhooks/{source}`, one route for all connections."""

import time
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.correlation import correlation_id
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.model.integration import WebhookRequest

PATH: Final = "/webhooks/{source}"
FAILED = web.RequestKey("failed_webhook", Exception)
"""The error of a webhook that `LeanWebhooks` could not receive."""


class Webhooks:
    """Receives webhooks. Status 200 means that every event is durable."""

    def __init__(self, services: ApiServices) -> None:
        self._ingress = services.ingress

    async def accept(self, request: web.Request) -> web.Response:
        """Receive a webhook and store its events."""
        if FAILED in request:
            raise request[FAILED]
        return bodies.json_response(await self.receive(request.match_info["source"], request))

    async def receive(self, source: str, request: web.Request) -> dict[str, int]:
        """Receive a webhook of a connection, store its events, and return their numbers.

        Raises 413 and 415, and the errors of `WebhookReceiver.accept`.
        """
        self._ingress.expect(source, request.headers)
        webhook = WebhookRequest(
            headers=request.headers,
            body=await bodies.read_signed(request),
            received_at=time.time(),
        )
        stored = await self._ingress.accept(source, webhook, correlation_id(request))
        counts = {"accepted": stored.accepted}
        return counts | {"dead": stored.dead} if stored.dead else counts

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "POST",
                PATH,
                self.accept,
                "Receive a webhook",
                {200: ResponseDoc("Every event of the webhook is durable.", "Accepted")},
                (400, 403, 404, 408, 413, 415, 503),
                "Webhook",
                public=True,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "Webhook": {
                "description": "The body as the external system has signed it.",
                "type": ["object", "array"],
            },
            "Accepted": {
                "type": "object",
                "required": ["accepted"],
                "properties": {
                    "accepted": {"type": "integer", "minimum": 0},
                    "dead": {
                        "description": "The number of dead letters, if there are any.",
                        "type": "integer",
                        "minimum": 1,
                    },
                },
            },
        }
