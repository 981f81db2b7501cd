"""Serve `/webhooks/{source}` and `/webhooks/{source}/{token}`, the same for all connections."""

from collections.abc import Collection, Mapping
from typing import Final

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.correlation import correlation_id
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.resources.webhook_requests import WebhookRequestReader
from zenskar.api.services import ApiServices
from zenskar.model.integration import WebhookAnswer
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.ingest.store import StoredWebhook

PATH: Final = "/webhooks/{source}"
_OPERATIONS = (
    ("POST", PATH, "Receive a webhook"),
    ("POST", f"{PATH}/{{token}}", "Receive a webhook whose path holds a token"),
    ("GET", PATH, "Answer a challenge, or receive a webhook without a body"),
    ("GET", f"{PATH}/{{token}}", "The same, for a path that holds a token"),
)
FAILED = web.RequestKey("failed_webhook", Exception)
"""The error of a webhook that `LeanWebhooks` could not receive."""


class Webhooks:
    """Receives webhooks. Status 200 means that every event is durable."""

    def __init__(self, services: ApiServices) -> None:
        self._ingress = services.ingress
        self._reader = WebhookRequestReader(services.settings)

    async def accept(self, request: web.Request) -> web.Response:
        """Answer a challenge, or receive a webhook and store its events."""
        if FAILED in request:
            raise request[FAILED]
        allowed = self._allowed(request)
        if request.method not in allowed:
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        source = request.match_info["source"]
        if request.method == "POST":
            self._ingress.expect(source, request.headers)
        webhook = await self._reader.read(request, request.match_info.get("token"))
        received = ReceivedWebhook(source, webhook, correlation_id(request))
        answer = self._ingress.answers.challenge(received)
        if answer is not None:
            return _response(answer)
        stored = await self._ingress.accept(*received)
        answer = self._ingress.answers.answer(received, stored)
        return bodies.json_response(_counts(stored)) if answer is None else _response(answer)

    async def receive(self, source: str, request: web.Request) -> dict[str, int]:
        """Receive a plain webhook, store its events, and return their numbers.

        Raises 413 and 415, and the errors of `WebhookReceiver.accept`.
        """
        self._ingress.expect(source, request.headers)
        webhook = await self._reader.read(request)
        return _counts(await self._ingress.accept(source, webhook, correlation_id(request)))

    def _allowed(self, request: web.Request) -> Collection[str]:
        return self._ingress.methods(request.match_info["source"])

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return tuple(
            Route(
                method,
                path,
                self.accept,
                summary,
                {200: ResponseDoc("Every event of the webhook is durable.", "Accepted")},
                (400, 403, 404, 405, 408, 413, 415, 503),
                "Webhook" if method == "POST" else None,
                public=True,
                allowed=self._allowed,
            )
            for method, path, summary in _OPERATIONS
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "Webhook": {
                "description": "The body as the external system has signed it. A plugin may read "
                "other forms than JSON.",
                "type": ["object", "array"],
            },
            "Accepted": {
                "description": "The answer, unless the plugin answers itself.",
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


def _counts(stored: StoredWebhook) -> dict[str, int]:
    counts = {"accepted": stored.accepted}
    return counts | {"dead": stored.dead} if stored.dead else counts


def _response(answer: WebhookAnswer) -> web.Response:
    text = answer.body
    return web.Response(
        body=text.encode(errors="replace") if isinstance(text, str) else text,
        status=answer.status,
        headers={"Content-Type": answer.content_type},
    )
