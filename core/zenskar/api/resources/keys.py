"""Serve `/keys`: create, list and revoke API keys."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, client, operator, require
from zenskar.api.http.idempotency_header import REPLAYED, REPLAYED_DOC, idempotency, once
from zenskar.api.http.json_forms import COMMON, NULLABLE_TIME, list_schema
from zenskar.api.http.queries import query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.db import api_keys
from zenskar.db import idempotency as stored_answers
from zenskar.db.api_keys import ApiKey
from zenskar.db.driver.engine import in_transaction
from zenskar.ids import new_id
from zenskar.model.moment import parse_moment
from zenskar.model.scope import Scope
from zenskar.model.timestamps import timestamp
from zenskar.ops import keys
from zenskar.schema_catalog import Schema


class KeyRoutes:
    """Create, list, read and revoke API keys."""

    def __init__(self, services: ApiServices) -> None:
        self._engine = services.engine
        self._body = Schema("key", dict(_REQUEST))

    async def create(self, request: web.Request) -> web.Response:
        """Create a key, and show it once: a repeated request does not show the key again."""
        body = await bodies.read_json(request, self._body)
        scope, by, first = Scope(body["scope"]), operator(request), idempotency(request, body)
        expires_at = body.get("expires_at")
        until = None if expires_at is None else parse_moment(expires_at)
        require(request, scope)

        async def create(db: AsyncConnection) -> tuple[dict[str, Any], str | None]:
            key_id = new_id()
            if first and (stored := await stored_answers.reserve(db, first, key_id)):
                return orjson.loads(stored), None
            made, key = await keys.create(db, body["name"], scope, until, by, key_id=key_id)
            view = key_view(made, client(request))
            if first:
                await stored_answers.answer(db, first, orjson.dumps(view).decode())
            return view, key

        view, key = await in_transaction(self._engine, create)
        headers = {"Location": f"/keys/{view['prefix']}"}
        if key is None:
            return bodies.json_response(view, 201, headers | {REPLAYED: "true"})
        return bodies.json_response(view | {"key": key}, 201, headers)

    async def list(self, request: web.Request) -> web.Response:
        """Return all keys without their secrets."""
        found = await in_transaction(self._engine, api_keys.read_all)
        return bodies.json_response({"data": [key_view(each, client(request)) for each in found]})

    async def get(self, request: web.Request) -> web.Response:
        """Return one key without its secret."""
        prefix = request.match_info["prefix"]
        found = await in_transaction(self._engine, lambda c: keys.read(c, prefix))
        return bodies.json_response(key_view(found, client(request)))

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a key; the key of this request only when the request says so."""
        prefix, by, caller = request.match_info["prefix"], operator(request), client(request)
        spare = None if query_of(request).flag("own") else caller
        found = await in_transaction(
            self._engine, lambda c: keys.revoke(c, prefix, by, spare=spare)
        )
        return bodies.json_response(key_view(found, caller))

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        made = ResponseDoc(
            "The new key. No later response has its text.",
            "NewApiKey",
            headers={"Location": "Its address.", **REPLAYED_DOC},
        )
        one = {200: ResponseDoc("The key, without its text.", "ApiKey")}
        many = {200: ResponseDoc("All keys, oldest first, revoked ones too.", "ApiKeyList")}
        single = "/keys/{prefix}"
        return (
            Route("POST", "/keys", self.create, "Create an API key", {201: made},
                  (400, 408, 413, 415, 422, *COMMON), "ApiKeyRequest",
                  parameters=(once("key"), REASON), scope=Scope.ADMIN),
            Route("GET", "/keys", self.list, "List API keys", many, (400, *COMMON),
                  scope=Scope.ADMIN),
            Route("GET", single, self.get, "Read an API key", one, (400, 404, *COMMON),
                  scope=Scope.ADMIN),
            Route("POST", f"{single}/revoke", self.revoke, "Revoke an API key", one,
                  (400, 404, 409, *COMMON), parameters=(_OWN, REASON), scope=Scope.ADMIN),
        )  # fmt: skip

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "ApiKey": _KEY,
            "ApiKeyRequest": _REQUEST,
            "NewApiKey": {**_KEY, "properties": {**_KEY["properties"], "key": _SECRET}},
            "ApiKeyList": list_schema("ApiKey"),
        }


def key_view(key: ApiKey, caller: str) -> dict[str, Any]:
    """Return a key as its readers see it; `own` is true for the key of the request."""
    times = {
        name: at and timestamp(at)
        for name in ("expires_at", "created_at", "last_used_at", "revoked_at")
        for at in [getattr(key, name)]
    }
    return asdict(key) | times | {"own": key.id == caller}


_OWN = Parameter(
    "own",
    "`true` also revokes the key that sends this request.",
    schema={"type": "boolean", "default": False},
)
_SCOPES = [scope.value for scope in Scope]
_REQUEST: JsonSchema = {
    "type": "object",
    "required": ["name", "scope"],
    "properties": {
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": keys.LONGEST_NAME,
            "description": "The user of the key.",
        },
        "scope": {"enum": _SCOPES, "description": "At most that of the key that sends this."},
        "expires_at": {
            **NULLABLE_TIME,
            "description": "Null or left out: the key does not expire.",
        },
    },
    "additionalProperties": False,
}
_SECRET = {"type": "string", "description": "The key itself; not in a repeated response."}
_KEY: JsonSchema = {
    "type": "object",
    "required": ["id", "name", "prefix", "scope", "created_at", "own"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "name": {"type": "string"},
        "prefix": {"type": "string", "description": "The part of the key that is no secret."},
        "scope": {"enum": _SCOPES},
        "expires_at": NULLABLE_TIME,
        "created_at": {"type": "string", "format": "date-time"},
        "last_used_at": NULLABLE_TIME,
        "revoked_at": NULLABLE_TIME,
        "own": {"type": "boolean", "description": "Whether the request was sent with this key."},
    },
}
