"""`/webhooks/{source}`: one route for every source system."""

import time
from collections.abc import Mapping

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.correlation import correlation_id
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.model.integration import WebhookRequest


class Webhooks:
    """Takes webhooks in; an answer of 200 means that every event is durable."""

    def __init__(self, services: ApiServices) -> None:
        self._ingress = services.ingress

    async def accept(self, request: web.Request) -> web.Response:
        """Hand a webhook to the source system's integration."""
        source = request.match_info["source"]
        self._ingress.expect(source, request.headers)
        webhook = WebhookRequest(
            headers=request.headers,
            body=await bodies.read_signed(request),
            received_at=time.time(),
        )
        taken = await self._ingress.accept(source, webhook, correlation_id(request))
        told = {"accepted": taken.accepted, "dead": taken.dead}
        return bodies.answer(told if taken.dead else {"accepted": taken.accepted})

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "POST",
                "/webhooks/{source}",
                self.accept,
                "Receive a webhook",
                {200: ResponseDoc("Every event of it is durable.", "Accepted")},
                (400, 403, 404, 408, 413, 415, 503),
                "Webhook",
                public=True,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas."""
        return {
            "Webhook": {
                "description": "Whatever the external system sends, signed by it.",
                "type": ["object", "array"],
            },
            "Accepted": {
                "type": "object",
                "required": ["accepted"],
                "properties": {
                    "accepted": {"type": "integer", "minimum": 0},
                    "dead": {
                        "description": "How many events are kept as dead letters; if there are.",
                        "type": "integer",
                        "minimum": 1,
                    },
                },
            },
        }
