"""Serve `/sync-events`: list, read and retry sync events."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator, require
from zenskar.api.http.json_forms import (
    COMMON,
    NULLABLE_TEXT,
    NULLABLE_TIME,
    page_response,
    page_schema,
)
from zenskar.api.http.queries import FILTER_TEXT as TEXT
from zenskar.api.http.queries import PAGE_PARAMETERS, TIME_PARAMETERS, Query, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.event_log import EventFilter, HistoryEntry, LoggedEvent
from zenskar.db.events.failed_events import RETRYABLE
from zenskar.errors import NotFound, StateConflict
from zenskar.ids import is_id
from zenskar.model.scope import Scope
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.model.timestamps import timestamp
from zenskar.ops import events
from zenskar.schema_catalog import Schema

Filters = Mapping[str, tuple[str, JsonSchema]]
"""The description and the schema of each filter, by name."""


class SyncEvents:
    """List, read and retry sync events."""

    def __init__(self, services: ApiServices) -> None:
        self._engine = services.engine
        self._replay = services.replay
        self._filter = Schema("filter", dict(_RETRY_FILTER))

    async def list(self, request: web.Request) -> web.Response:
        """Return a page of sync events."""
        query = query_of(request)
        status = query.one_of("status", SyncStatus)
        return await event_page(self._engine, query, replace(filter_of(query), status=status))

    async def get(self, request: web.Request) -> web.Response:
        """Return one sync event with its history."""
        event_id = event_id_of(request)
        reveal_to = None
        if query_of(request).text("include") == "payload":
            require(request, Scope.ADMIN)
            reveal_to = operator(request)
        found = await in_transaction(
            self._engine, lambda c: events.read(c, event_id, reveal_to=reveal_to)
        )
        view = event_view(found.event)
        if reveal_to is not None:
            view["payload"] = found.payload
        view["history"] = history_view(found.history)
        return bodies.json_response(view)

    async def retry_one(self, request: web.Request) -> web.Response:
        """Retry one sync event.

        Raises `NotFound` for an unknown event, `StateConflict` for one that has not failed.
        """
        event_id = event_id_of(request)
        retried = await self._replay.retry(EventFilter(ids=(event_id,)), operator(request))
        if not retried:
            found = await in_transaction(self._engine, lambda c: events.read(c, event_id))
            raise StateConflict(f"a sync event that is {found.event.status} cannot be retried")
        return bodies.json_response({"retried": retried}, 202)

    async def resend(self, request: web.Request) -> web.Response:
        """Send the message of an unfinished sync event again.

        Raises `NotFound` for an unknown event, `StateConflict` for one without such a message.
        """
        event_id = event_id_of(request)
        if not await self._replay.resend(event_id, operator(request)):
            found = await in_transaction(self._engine, lambda c: events.read(c, event_id))
            raise StateConflict(
                f"a sync event that is {found.event.status} has no message to send again now"
            )
        return bodies.json_response({"retried": 1}, 202)

    async def retry_many(self, request: web.Request) -> web.Response:
        """Retry all failed sync events that match a filter."""
        body = await bodies.read_json(request, self._filter)
        dry_run = body.pop("dry_run", False)
        wanted = EventFilter(
            status=SyncStatus(body["status"]) if "status" in body else None,
            direction=Direction(body["direction"]) if "direction" in body else None,
            source=body.get("source"),
            customer_id=body.get("customer_id"),
            reason=body.get("reason"),
            correlation_id=body.get("correlation_id"),
            external_id=body.get("external_id"),
            ids=body.get("ids"),
        )
        if dry_run:
            matched = await self._replay.count(wanted)
            return bodies.json_response({"matched": matched, "retried": 0})
        return bodies.json_response(
            {"retried": await self._replay.retry(wanted, operator(request))}, 202
        )

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        status = Parameter("status", "Only with this status.", schema=_enum(SyncStatus))
        include = Parameter(
            "include",
            "`payload` adds the message of an inbound event; it holds personal data.",
            schema={"type": "string", "enum": ["payload"]},
        )
        retried = {
            202: ResponseDoc("The number of sync events that will be processed again.", "Retried")
        }
        return (
            Route(
                "GET",
                "/sync-events",
                self.list,
                "List sync events, newest first",
                {200: ResponseDoc("A page.", "SyncEventPage")},
                (400, *COMMON),
                parameters=(*PAGE_PARAMETERS, status, *parameters_of(FILTERS), *TIME_PARAMETERS),
                scope=Scope.READ,
            ),
            Route(
                "GET",
                "/sync-events/{id}",
                self.get,
                "Read a sync event with its history",
                {200: ResponseDoc("The sync event.", "SyncEventWithHistory")},
                (400, 404, *COMMON),
                parameters=(include, REASON),
                scope=Scope.READ,
            ),
            Route(
                "POST",
                "/sync-events/retry",
                self.retry_many,
                "Retry failed sync events",
                retried | {200: ResponseDoc("A dry run.", "Retried")},
                (400, 408, 413, 415, 422, *COMMON),
                "RetryFilter",
                parameters=(REASON,),
                scope=Scope.WRITE,
            ),
            Route(
                "POST",
                "/sync-events/{id}/resend",
                self.resend,
                "Send the message of an unfinished sync event again",
                retried,
                (400, 404, 409, *COMMON),
                parameters=(REASON,),
                scope=Scope.WRITE,
            ),
            Route(
                "POST",
                "/sync-events/{id}/retry",
                self.retry_one,
                "Retry a failed sync event",
                retried,
                (400, 404, 409, *COMMON),
                parameters=(REASON,),
                scope=Scope.WRITE,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "SyncEvent": {"type": "object", "properties": _properties()},
            "SyncEventPage": page_schema("SyncEvent"),
            "SyncEventWithHistory": {
                "type": "object",
                "properties": {
                    **_properties(),
                    "payload": {"description": "The message; text unless it is JSON."},
                    "history": {"type": "array", "items": {"$ref": "#/$defs/HistoryEntry"}},
                },
            },
            "HistoryEntry": {
                "type": "object",
                "required": ["at", "status", "detail"],
                "properties": {
                    "at": {"type": "string", "format": "date-time"},
                    "status": _enum(SyncStatus),
                    "detail": {"type": "object"},
                },
            },
            "RetryFilter": _RETRY_FILTER,
            "Retried": {
                "type": "object",
                "required": ["retried"],
                "properties": {
                    "matched": {
                        "type": "integer",
                        "description": "The number of events that a retry would concern.",
                    },
                    "retried": {"type": "integer", "minimum": 0},
                },
            },
        }


async def event_page(engine: AsyncEngine, query: Query, wanted: EventFilter) -> web.Response:
    """Return the page of sync events that a query selects."""
    limit, before = query.limit, query.before
    page = await in_transaction(
        engine, lambda c: events.page(c, wanted, limit=limit, before=before)
    )
    views = [event_view(event) for event in page.events]
    return page_response(views, page.last_id)


def filter_of(query: Query) -> EventFilter:
    """Return the filter of a query with the parameters `FILTERS` and the times.

    Raises `InvalidInput` for a wrong time.
    """
    return EventFilter(
        direction=query.one_of("direction", Direction),
        source=query.text("source"),
        customer_id=query.text("customer_id"),
        reason=query.text("reason"),
        correlation_id=query.text("correlation_id"),
        external_id=query.text("external_id"),
        since=query.moment("since"),
        until=query.moment("until"),
    )


def parameters_of(filters: Filters) -> tuple[Parameter, ...]:
    """Return filters as query parameters."""
    return tuple(Parameter(name, text, schema=kind) for name, (text, kind) in filters.items())


def event_id_of(request: web.Request) -> str:
    """Return the id of the sync event in a path. Raises `NotFound` for text that is no id."""
    event_id = request.match_info["id"]
    if not is_id(event_id):
        raise NotFound("there is no sync event with this id")
    return event_id.lower()


def event_view(event: LoggedEvent) -> dict[str, Any]:
    """Return a sync event in the form of the API."""
    return {
        name: timestamp(value) if isinstance(value, datetime) else value
        for name, value in asdict(event).items()
    }


def history_view(entries: Sequence[HistoryEntry]) -> list[dict[str, Any]]:
    """Return a history in the form of the API."""
    return [{"at": timestamp(e.at), "status": e.status, "detail": e.detail} for e in entries]


def _properties() -> dict[str, JsonSchema]:
    """Return the schemas of the fields of a sync event, by their Python types."""
    types: dict[Any, JsonSchema] = {
        str: {"type": "string"},
        int: {"type": "integer"},
        str | None: NULLABLE_TEXT,
        datetime: {"type": "string", "format": "date-time"},
        datetime | None: NULLABLE_TIME,
    }
    known = {n: types[f.type] for n, f in LoggedEvent.__dataclass_fields__.items()}
    return {**known, "status": _enum(SyncStatus), "direction": _enum(Direction)}


def _enum(choices: type[SyncStatus] | type[Direction]) -> JsonSchema:
    return {"type": "string", "enum": [choice.value for choice in choices]}


UUID = {"type": "string", "format": "uuid"}
FILTERS: Filters = {
    "source": ("Only of this source system.", TEXT),
    "direction": ("Only of this direction.", _enum(Direction)),
    "customer_id": ("Only of this customer.", UUID),
    "reason": ("Only with this reason.", TEXT),
    "correlation_id": ("Only with this correlation id.", TEXT),
    "external_id": ("Only of this external object.", TEXT),
}
"""The filters of every list of sync events."""
_RETRY_FILTER: JsonSchema = {
    "description": "Which failed sync events; an empty object means all of them.",
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": [status.value for status in RETRYABLE]},
        **{name: kind for name, (_, kind) in FILTERS.items()},
        "ids": {"type": "array", "minItems": 1, "maxItems": 1000, "items": UUID},
        "dry_run": {"type": "boolean", "description": "Only count."},
    },
    "additionalProperties": False,
}
