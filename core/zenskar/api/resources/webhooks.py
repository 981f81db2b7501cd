"""Serve `/webhooks/{source}`, one route for all connections."""

import time
from collections.abc import Mapping

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.correlation import correlation_id
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.model.integration import WebhookRequest


class Webhooks:
    """Receives webhooks. Status 200 means that every event is durable."""

    def __init__(self, services: ApiServices) -> None:
        self._ingress = services.ingress

    async def accept(self, request: web.Request) -> web.Response:
        """Receive a webhook and store its events."""
        source = request.match_info["source"]
        self._ingress.expect(source, request.headers)
        webhook = WebhookRequest(
            headers=request.headers,
            body=await bodies.read_signed(request),
            received_at=time.time(),
        )
        stored = await self._ingress.accept(source, webhook, correlation_id(request))
        counts = {"accepted": stored.accepted}
        return bodies.json_response(counts | {"dead": stored.dead} if stored.dead else counts)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "POST",
                "/webhooks/{source}",
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
