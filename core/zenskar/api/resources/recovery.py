"""Serve `/recovery`: what a database restored from a backup does not know."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, client, operator
from zenskar.api.http.correlation import correlation_id
from zenskar.api.http.json_forms import COMMON, NULLABLE_TEXT, NULLABLE_TIME
from zenskar.api.http.queries import DRY_RUN, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.resources.keys import key_view
from zenskar.api.services import ApiServices
from zenskar.errors import InvalidInput
from zenskar.model.scope import Scope
from zenskar.model.timestamps import timestamp
from zenskar.ops.recover import RecoveryReport


class RecoveryRoutes:
    """Report the differences of a restored database, and repeat the lost deletes."""

    def __init__(self, services: ApiServices) -> None:
        self._recovery = services.operations.recovery(
            services.customers.delete,
            in_request=True,
        )

    async def report(self, request: web.Request) -> web.Response:
        """Return the differences since a backup."""
        return _answer(await self._recovery.report(_since(request)), request)

    async def repeat_deletes(self, request: web.Request) -> web.Response:
        """Delete the records again that live since the restore; a dry run only lists them."""
        since, by = _since(request), operator(request)
        if query_of(request).flag("dry_run"):
            return _answer(await self._recovery.report(since), request)
        done = await self._recovery.repeat_deletes(since, by, correlation_id(request))
        return _answer(done, request)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        report = {200: ResponseDoc("The differences since the backup.", "Recovery")}
        problems = (400, 409, *COMMON)
        return (
            Route("GET", "/recovery", self.report, "Report the differences of a restored database",
                  report, problems, parameters=(_SINCE,), scope=Scope.ADMIN),
            Route("POST", "/recovery/repeat-deletes", self.repeat_deletes,
                  "Repeat the deletes that a restored database does not know", report, problems,
                  parameters=(_SINCE, DRY_RUN, REASON), scope=Scope.ADMIN),
        )  # fmt: skip

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {"Recovery": _RECOVERY}


def _since(request: web.Request) -> datetime:
    since = query_of(request).moment("since")
    if since is None:
        raise InvalidInput("since: is needed, the time of the backup")
    return since


def _answer(found: RecoveryReport, request: web.Request) -> web.Response:
    paused = [
        {
            "name": state.name,
            "reason": state.reason,
            "paused_at": state.paused_at and timestamp(state.paused_at),
        }
        for state in found.paused
    ]
    body: dict[str, Any] = {
        "deletes_known": found.deletes_known,
        "deleted_since": [asdict(delete) for delete in found.deletes],
        "deleted": found.deleted,
        "left": found.left,
        "api_keys": [key_view(key, client(request)) for key in found.keys],
        "paused": paused,
    }
    return bodies.json_response(body)


_SINCE = Parameter(
    "since",
    "The time of the backup.",
    schema={"type": "string", "format": "date-time"},
    required=True,
)
_DELETE = {
    "type": "object",
    "required": ["entity_type", "record_id", "deleted_at"],
    "properties": {
        "entity_type": {"type": "string"},
        "record_id": {"type": "string", "format": "uuid"},
        "deleted_at": {"type": "string"},
    },
}
_PAUSED = {
    "type": "object",
    "required": ["name", "reason", "paused_at"],
    "properties": {
        "name": {"type": "string"},
        "reason": NULLABLE_TEXT,
        "paused_at": NULLABLE_TIME,
    },
}
_RECOVERY: JsonSchema = {
    "type": "object",
    "required": ["deletes_known", "deleted_since", "deleted", "left", "api_keys", "paused"],
    "properties": {
        "deletes_known": {
            "type": "boolean",
            "description": "False on a bus that was restored with the database.",
        },
        "deleted_since": {
            "type": "array",
            "items": _DELETE,
            "description": "The records that were deleted since the backup, and live again.",
        },
        "deleted": {"type": "integer", "description": "How many of them were deleted again."},
        "left": {"type": "integer", "description": "How many were not: repeat the request."},
        "api_keys": {"type": "array", "items": {"$ref": "#/$defs/ApiKey"}},
        "paused": {"type": "array", "items": _PAUSED},
    },
}
