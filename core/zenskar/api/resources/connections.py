"""Serve `/connections`: list, pause and resume connections."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator, require
from zenskar.api.http.queries import DEFAULT_LIMIT, PAGE_PARAMETERS, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.catalog.views import timestamp
from zenskar.db.connections import ACTIVE, PAUSED
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.held_deletes import HeldDelete
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.model.scope import Scope
from zenskar.ops import connections
from zenskar.ops.connections import ConnectionStatus, ResumeRequest
from zenskar.ops.drop_deletes import ObjectState

_COMMON = (401, 403, 429, 503)


class Connections:
    """List, pause and resume connections."""

    def __init__(self, services: ApiServices) -> None:
        self._engine = services.engine
        self._router = services.router
        self._wake = services.wake
        self._broadcaster = services.broadcaster
        self._operations = services.operations

    async def show(self, _request: web.Request) -> web.Response:
        """Return all connections."""
        return bodies.json_response({"data": await in_transaction(self._engine, self._views)})

    async def pause(self, request: web.Request) -> web.Response:
        """Pause the calls to an external system."""
        name, by = self._name(request), operator(request)

        async def pause(db: AsyncConnection) -> dict[str, Any]:
            await connections.pause(db, name, by, self._broadcaster)
            return await self._view(db, name)

        return bodies.json_response(await in_transaction(self._engine, pause))

    async def resume(self, request: web.Request) -> web.Response:
        """Resume a connection, with the operator's decisions on held deletes and a new account."""
        name, by, query = self._name(request), operator(request), query_of(request)
        count = query.number("apply_deletes")
        wanted = ResumeRequest(None if count is None else int(count), query.flag("accept_account"))

        async def resume(db: AsyncConnection) -> dict[str, Any]:
            await connections.resume(db, name, by, wanted, self._broadcaster)
            return await self._view(db, name)

        view = await in_transaction(self._engine, resume)
        for topic in (OUTBOUND, INBOUND):
            self._wake(topic)
        return bodies.json_response(view)

    async def close_guard(self, request: web.Request) -> web.Response:
        """End the release of held deletes."""
        name, by = self._name(request), operator(request)

        async def close(db: AsyncConnection) -> dict[str, Any]:
            await connections.close_guard(db, name, by)
            return await self._view(db, name)

        return bodies.json_response(await in_transaction(self._engine, close))

    async def held_deletes(self, request: web.Request) -> web.Response:
        """Return the deletes that the delete guard holds back."""
        name, limit = self._name(request), query_of(request).number("limit") or DEFAULT_LIMIT

        held = await in_transaction(self._engine, lambda c: connections.held(c, name, int(limit)))
        states: Mapping[str, ObjectState] = {}
        if query_of(request).flag("look"):
            require(request, Scope.WRITE)
            states = await self._operations.held_delete_dropper().look(name, held.oldest)
        data = [_held_view(each, states.get(each.external_id)) for each in held.oldest]
        return bodies.json_response({"data": data, "total": held.total, "exact": held.exact})

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        one = {200: ResponseDoc("The connection.", "Connection")}
        many = {200: ResponseDoc("All connections.", "ConnectionList")}
        return (
            Route(
                "GET",
                "/connections",
                self.show,
                "List connections",
                many,
                (400, *_COMMON),
                scope=Scope.READ,
            ),
            Route(
                "POST",
                "/connections/{name}/pause",
                self.pause,
                "Pause a connection",
                one,
                (400, 404, *_COMMON),
                parameters=(REASON,),
                scope=Scope.ADMIN,
            ),
            Route(
                "POST",
                "/connections/{name}/resume",
                self.resume,
                "Resume a connection",
                one,
                (400, 404, 409, *_COMMON),
                parameters=(*_RESUME, REASON),
                scope=Scope.ADMIN,
            ),
            Route(
                "POST",
                "/connections/{name}/close-guard",
                self.close_guard,
                "Close the delete guard after a release",
                one,
                (400, 404, 409, *_COMMON),
                parameters=(REASON,),
                scope=Scope.ADMIN,
            ),
            Route(
                "GET",
                "/connections/{name}/held-deletes",
                self.held_deletes,
                "List held deletes",
                {
                    200: ResponseDoc(
                        "The oldest held deletes, and the number of all.", "HeldDeletes"
                    )
                },
                (400, 404, 502, *_COMMON),
                parameters=(PAGE_PARAMETERS[0], _LOOK),
                scope=Scope.READ,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "Connection": _CONNECTION,
            "HeldDeletes": _HELD_DELETES,
            "ConnectionList": {
                "type": "object",
                "required": ["data"],
                "properties": {"data": {"type": "array", "items": {"$ref": "#/$defs/Connection"}}},
            },
        }

    def _name(self, request: web.Request) -> str:
        name = request.match_info["name"]
        self._router.owner(name)
        return name

    async def _view(self, db: AsyncConnection, name: str) -> dict[str, Any]:
        status = await connections.status(db, name, self._router.sources)
        return _view(status, self._router.owner(name).entities)

    async def _views(self, db: AsyncConnection) -> list[dict[str, Any]]:
        return [
            _view(status, self._router.owner(status.state.name).entities)
            for status in await connections.statuses(db, self._router.sources)
            if status.configured
        ]


def _view(status: ConnectionStatus, entities: tuple[str, ...]) -> dict[str, Any]:
    state, backlog = status.state, status.backlog
    return {
        "name": state.name,
        "entities": entities,
        "state": state.state,
        "reason": state.reason,
        "account": state.account,
        "paused_at": state.paused_at and timestamp(state.paused_at),
        "held_until": state.held_until and timestamp(state.held_until),
        "polled_at": status.polled_at and timestamp(status.polled_at),
        "call_limits": [
            {
                "name": each.name,
                "seconds": each.seconds,
                "calls": each.calls,
                "used": each.used,
                "held_until": each.held_until and timestamp(each.held_until),
            }
            for each in status.call_limits
        ],
        "last_error": state.error_at
        and {
            "kind": state.error_kind,
            "message": state.error_message,
            "at": timestamp(state.error_at),
        },
        "lag": {
            "waiting": backlog.waiting,
            "oldest_seconds": backlog.oldest_seconds,
            "dead": backlog.dead,
            "exact": backlog.exact,
        },
    }


def _held_view(one: HeldDelete, state: ObjectState | None) -> dict[str, Any]:
    view = {
        "sync_event_id": one.id,
        "entity_type": one.entity_type,
        "external_id": one.external_id,
        "record_id": one.record_id,
        "created_at": timestamp(one.created_at),
    }
    return view if state is None else view | {"object": state.value}


_LOOK = Parameter(
    "look",
    "`true` fetches each object: calls to the external system, which need `write`.",
    schema={"type": "boolean", "default": False},
)
_RESUME = (
    Parameter(
        "apply_deletes",
        "The number of held deletes to apply; refused when the number has changed.",
        schema={"type": "integer", "minimum": 0},
    ),
    Parameter(
        "accept_account",
        "Whether to accept the other account for which the connection was paused.",
        schema={"type": "boolean"},
    ),
)
_TEXT = {"type": ["string", "null"]}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_HELD_DELETES: JsonSchema = {
    "type": "object",
    "required": ["data", "total", "exact"],
    "properties": {
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "sync_event_id": {"type": "string"},
                    "entity_type": {"type": "string"},
                    "external_id": {"type": "string"},
                    "record_id": _TEXT,
                    "object": {
                        "description": "The present state of the object, with `look`.",
                        "enum": [state.value for state in ObjectState],
                    },
                    "created_at": {"type": "string", "format": "date-time"},
                },
            },
        },
        "total": {"type": "integer"},
        "exact": {"type": "boolean", "description": "Whether there are not more than `total`."},
    },
}
_CONNECTION: JsonSchema = {
    "type": "object",
    "required": [
        "name",
        "entities",
        "state",
        "reason",
        "account",
        "paused_at",
        "held_until",
        "polled_at",
        "call_limits",
        "last_error",
        "lag",
    ],
    "properties": {
        "name": {"type": "string"},
        "entities": {"type": "array", "items": {"type": "string"}},
        "state": {"enum": [ACTIVE, PAUSED]},
        "reason": _TEXT,
        "account": _TEXT,
        "paused_at": _TIME,
        "held_until": {
            **_TIME,
            "description": "No call before this time, because of a rate limit.",
        },
        "polled_at": {
            **_TIME,
            "description": "When the feed of the system was last read to its end.",
        },
        "call_limits": {
            "description": "The calls of each period that are used, with those of the limit.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "seconds", "calls", "used", "held_until"],
                "properties": {
                    "name": {
                        "type": "string",
                        "description": "An endpoint of the system, empty for all calls.",
                    },
                    "seconds": {"type": "number"},
                    "calls": {"type": "integer"},
                    "used": {"type": "integer"},
                    "held_until": _TIME,
                },
            },
        },
        "last_error": {
            "type": ["object", "null"],
            "properties": {"kind": _TEXT, "message": _TEXT, "at": _TIME},
        },
        "lag": {
            "description": "Sync events that are not finished.",
            "type": "object",
            "properties": {
                "waiting": {"type": "integer"},
                "oldest_seconds": {"type": ["number", "null"]},
                "dead": {"type": "integer"},
                "exact": {
                    "type": "boolean",
                    "description": "Whether there are not more than these numbers.",
                },
            },
        },
    },
}
