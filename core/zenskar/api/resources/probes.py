"""Serve `/health/live` and `/health/ready`."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from zenskar.api.health import HealthReport, HealthStatus
from zenskar.api.http import bodies
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.api.shared_answer import SharedAnswer

_KEPT_SECONDS = 1.0


class Probes:
    """Serves probes, without an API key."""

    def __init__(self, services: ApiServices) -> None:
        self._health = services.health
        self._ready = SharedAnswer(services.health.ready, seconds=_KEPT_SECONDS)

    async def live(self, _request: web.Request) -> web.Response:
        """Return whether the process should keep running."""
        return _answer(await self._health.live())

    async def ready(self, _request: web.Request) -> web.Response:
        """Return whether the process should receive requests."""
        # A kept report would attract requests until the port is closed.
        kept = not self._health.stopping
        return _answer(await (self._ready.get() if kept else self._health.ready()))

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        answers = {200: ResponseDoc("Yes.", "Health"), 503: ResponseDoc("No.", "Health")}
        return (
            Route("GET", "/health/live", self.live, "Is the process alive?", answers, public=True),
            Route(
                "GET", "/health/ready", self.ready, "Can it serve requests?", answers, public=True
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        status = {"type": "string", "enum": [status.value for status in HealthStatus]}
        check: dict[str, Any] = {
            "type": "object",
            "required": ["status", "detail"],
            "properties": {"status": status, "detail": {"type": "string"}},
        }
        part = {
            **check,
            "properties": {
                **check["properties"],
                "parts": {
                    "description": "The roles, the consumers or the connections, by name.",
                    "type": "object",
                    "additionalProperties": check,
                },
            },
        }
        return {
            "Health": {
                "type": "object",
                "required": ["status", "checks"],
                "properties": {
                    "status": status,
                    "checks": {"type": "object", "additionalProperties": part},
                },
            }
        }


def _answer(report: HealthReport) -> web.Response:
    return bodies.json_response(report.to_json(), report.http_status)
