"""Serve `/connections`: list, pause and resume connections."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator, require
from zenskar.api.http.json_forms import COMMON, list_schema
from zenskar.api.http.queries import DEFAULT_LIMIT, PAGE_PARAMETERS, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.resources.connection_views import (
    CONNECTION,
    HELD_DELETES,
    connection_view,
    held_view,
)
from zenskar.api.services import ApiServices
from zenskar.db.driver.engine import in_transaction
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.model.scope import Scope
from zenskar.ops import connections
from zenskar.ops.connections import ResumeRequest
from zenskar.ops.drop_deletes import ObjectState


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
        data = [held_view(each, states.get(each.external_id)) for each in held.oldest]
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
                (400, *COMMON),
                scope=Scope.READ,
            ),
            Route(
                "POST",
                "/connections/{name}/pause",
                self.pause,
                "Pause a connection",
                one,
                (400, 404, *COMMON),
                parameters=(REASON,),
                scope=Scope.ADMIN,
            ),
            Route(
                "POST",
                "/connections/{name}/resume",
                self.resume,
                "Resume a connection",
                one,
                (400, 404, 409, *COMMON),
                parameters=(*_RESUME, REASON),
                scope=Scope.ADMIN,
            ),
            Route(
                "POST",
                "/connections/{name}/close-guard",
                self.close_guard,
                "Close the delete guard after a release",
                one,
                (400, 404, 409, *COMMON),
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
                (400, 404, 502, *COMMON),
                parameters=(PAGE_PARAMETERS[0], _LOOK),
                scope=Scope.READ,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "Connection": CONNECTION,
            "HeldDeletes": HELD_DELETES,
            "ConnectionList": list_schema("Connection"),
        }

    def _name(self, request: web.Request) -> str:
        name = request.match_info["name"]
        self._router.owner(name)
        return name

    async def _view(self, db: AsyncConnection, name: str) -> dict[str, Any]:
        status = await connections.status(db, name, self._router.sources)
        return connection_view(status, self._router.owner(name).entities)

    async def _views(self, db: AsyncConnection) -> list[dict[str, Any]]:
        return [
            connection_view(status, self._router.owner(status.state.name).entities)
            for status in await connections.statuses(db, self._router.sources)
            if status.configured
        ]


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
