"""Serve `/webhooks/{source}` and `/webhooks/{source}/{token}`, the same for all connections."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.correlation import correlation_id, traceparent
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.resources.webhook_requests import WebhookRequestReader
from zenskar.api.services import ApiServices
from zenskar.errors import ZenskarError
from zenskar.model.integration import WebhookAnswer, WebhookRequest
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.ingest.store import StoredWebhook
from zenskar.telemetry.metrics import WebhookRefusal

PATH: Final = "/webhooks/{source}"
_REFUSALS = MappingProxyType({413: WebhookRefusal.TOO_LARGE, 415: WebhookRefusal.MEDIA_TYPE})
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
        """Answer a challenge, or receive a webhook and store its events.

        Raises `HTTPMethodNotAllowed`, and the errors of the receiver.
        """
        if FAILED in request:
            raise request[FAILED]
        allowed = self._allowed(request)
        if request.method not in allowed:
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        source = request.match_info["source"]
        if request.method == "POST":
            self._ingress.expect(source, request.headers, correlation_id(request))
        webhook = await self._read(request, source, request.match_info.get("token"))
        named = correlation_id(request)
        received = ReceivedWebhook(source, webhook, named, traceparent(request))
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
        named = correlation_id(request)
        self._ingress.expect(source, request.headers, named)
        webhook = await self._read(request, source)
        return _counts(await self._ingress.accept(source, webhook, named))

    async def _read(
        self, request: web.Request, source: str, token: str | None = None
    ) -> WebhookRequest:
        """Read a webhook, and note its refusal when that fails."""
        try:
            return await self._reader.read(request, token)
        except web.HTTPException as error:
            if (reason := _REFUSALS.get(error.status)) is not None:
                self._ingress.refusals.refused(source, correlation_id(request), reason)
            raise
        except ZenskarError as error:
            self._ingress.refusals.failed(source, correlation_id(request), error)
            raise

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
