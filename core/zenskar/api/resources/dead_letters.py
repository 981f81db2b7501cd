"""Serve `/dead-letters`: list, read, retry and discard dead letters."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator, require
from zenskar.api.http.json_forms import COMMON, NULLABLE_TEXT
from zenskar.api.http.queries import FILTER_TEXT as TEXT
from zenskar.api.http.queries import MAX_LIMIT, PAGE_PARAMETERS, TIME_PARAMETERS, Query, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.resources.sync_events import (
    FILTERS,
    UUID,
    Filters,
    event_id_of,
    event_page,
    event_view,
    filter_of,
    history_view,
    parameters_of,
)
from zenskar.api.services import ApiServices
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_log
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import InvalidInput, NotFound, StateConflict
from zenskar.model.scope import Scope
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.model.timestamps import timestamp
from zenskar.ops import dead_letters
from zenskar.ops.dead_letters import Action, LetterGroup
from zenskar.ops.replay import Replay
from zenskar.schema_catalog import Schema


class DeadLetterRoutes:
    """List, read, retry and discard dead letters."""

    def __init__(self, services: ApiServices) -> None:
        self._engine = services.engine
        self._replay = services.replay
        self._choice = Schema("filter", dict(_CHOICE))

    async def list(self, request: web.Request) -> web.Response:
        """Return a page of dead letters."""
        query = query_of(request)
        return await event_page(self._engine, query, _filter_of(query))

    async def groups(self, request: web.Request) -> web.Response:
        """Return the dead letters by cause, the largest group first."""
        wanted = _filter_of(query_of(request))
        found = await in_transaction(self._engine, lambda c: dead_letters.groups(c, wanted))
        return bodies.json_response({"data": [_group_view(each) for each in found[:MAX_LIMIT]]})

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Acknowledge the groups of a cause."""
        wanted, by = _filter_of(query_of(request)), operator(request)
        count = await in_transaction(
            self._engine, lambda c: dead_letters.acknowledge(c, wanted, by)
        )
        return bodies.json_response({"acknowledged": count})

    async def get(self, request: web.Request) -> web.Response:
        """Return one dead letter with its message and history."""
        event_id = event_id_of(request)
        reveal_to = None
        if query_of(request).flag("reveal"):
            require(request, Scope.ADMIN)
            reveal_to = operator(request)
        letter = await in_transaction(
            self._engine, lambda c: dead_letters.find(c, event_id, reveal_to=reveal_to)
        )
        history = history_view(letter.history)
        view = {**event_view(letter.event), "payload": letter.payload, "history": history}
        return bodies.json_response(view)

    async def retry_one(self, request: web.Request) -> web.Response:
        """Retry one dead letter."""
        return await self._one(request, Replay.retry, "retried", 202)

    async def discard_one(self, request: web.Request) -> web.Response:
        """Discard one dead letter; its history stays."""
        return await self._one(request, Replay.discard, "discarded", 200)

    async def retry_many(self, request: web.Request) -> web.Response:
        """Retry all dead letters that match a filter."""
        return await self._many(request, Replay.retry, "retried", 202)

    async def discard_many(self, request: web.Request) -> web.Response:
        """Discard all dead letters that match a filter."""
        return await self._many(request, Replay.discard, "discarded", 200)

    async def _one(
        self, request: web.Request, action: Action, done: str, status: int
    ) -> web.Response:
        event_id = event_id_of(request)
        wanted = dead_letters.only_dead(EventFilter(ids=(event_id,)))
        count = await action(self._replay, wanted, operator(request))
        if not count:
            await self._raise_reason(event_id)
        return bodies.json_response({"matched": 1, done: count}, status)

    async def _raise_reason(self, event_id: str) -> None:
        event = await in_transaction(self._engine, lambda c: event_log.read(c, event_id))
        if event is None:
            raise NotFound("there is no dead letter with this id")
        if event.status == SyncStatus.DEAD:
            raise StateConflict("this release cannot process the message of this dead letter")
        raise StateConflict(f"a sync event that is {event.status} is no dead letter")

    async def _many(
        self, request: web.Request, action: Action, done: str, status: int
    ) -> web.Response:
        body = await bodies.read_json(request, self._choice)
        every, dry_run = body.pop("all", False), body.pop("dry_run", False)
        if every == bool(body):
            raise InvalidInput("give a filter, or all: true")
        if "direction" in body:
            body["direction"] = Direction(body["direction"])
        wanted = dead_letters.only_dead(EventFilter(**body))
        count = await dead_letters.act(
            self._replay, wanted, action, operator(request), dry_run=dry_run
        )
        answer = {"matched": count.matched, done: count.done}
        return bodies.json_response(answer, 200 if dry_run else status)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        page = {200: ResponseDoc("A page.", "SyncEventPage")}
        one = {200: ResponseDoc("The dead letter.", "DeadLetter")}
        groups = {200: ResponseDoc("The groups, the largest first.", "DeadLetterGroups")}
        retried = {202: ResponseDoc("To be processed again.", "DeadLettersRetried")}
        would = {200: ResponseDoc("A dry run.", "DeadLettersRetried")}
        ended = {200: ResponseDoc("Ended as ignored.", "DeadLettersDiscarded")}
        sent = (400, 408, 413, 415, 422, *COMMON)
        acknowledged = {200: ResponseDoc("The number of letters.", "DeadLettersAcknowledged")}
        chosen = (*parameters_of(_FILTERS), *TIME_PARAMETERS)
        base, single = "/dead-letters", "/dead-letters/{id}"
        return (
            Route("GET", base, self.list, "List dead letters, newest first", page, (400, *COMMON),
                  parameters=(*PAGE_PARAMETERS, *chosen), scope=Scope.READ),
            Route("GET", f"{base}/groups", self.groups, "Group dead letters by cause", groups,
                  (400, *COMMON), parameters=chosen, scope=Scope.READ),
            Route("POST", f"{base}/acknowledge", self.acknowledge,
                  "Acknowledge the cause of dead letters", acknowledged, (400, 404, *COMMON),
                  parameters=(*parameters_of(_CAUSE), REASON), scope=Scope.WRITE),
            Route("GET", single, self.get, "Read a dead letter", one, (400, 404, *COMMON),
                  parameters=(_REVEAL, REASON), scope=Scope.READ),
            Route("POST", f"{base}/retry", self.retry_many, "Retry dead letters",
                  retried | would, sent, "DeadLetterChoice", parameters=(REASON,),
                  scope=Scope.WRITE),
            Route("POST", f"{base}/discard", self.discard_many, "Discard dead letters",
                  ended, sent, "DeadLetterChoice", parameters=(REASON,), scope=Scope.ADMIN),
            Route("POST", f"{single}/retry", self.retry_one, "Retry a dead letter",
                  retried, (400, 404, 409, *COMMON), parameters=(REASON,), scope=Scope.WRITE),
            Route("POST", f"{single}/discard", self.discard_one, "Discard a dead letter",
                  ended, (400, 404, 409, *COMMON), parameters=(REASON,), scope=Scope.ADMIN),
        )  # fmt: skip

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "DeadLetter": {"$ref": "#/$defs/SyncEventWithHistory"},
            "DeadLetterChoice": _CHOICE,
            "DeadLetterGroups": _GROUPS,
            "DeadLettersAcknowledged": {
                "type": "object",
                "required": ["acknowledged"],
                "properties": {"acknowledged": {"type": "integer", "minimum": 1}},
            },
            "DeadLettersRetried": _counts("retried"),
            "DeadLettersDiscarded": _counts("discarded"),
        }


def _filter_of(query: Query) -> EventFilter:
    return dead_letters.only_dead(
        replace(
            filter_of(query),
            error_kind=query.text("error_kind"),
            event_type=query.text("event_type"),
            older_than=query.number("older_than"),
            newer_than=query.number("newer_than"),
            error=query.text("error"),
        )
    )


def _group_view(group: LetterGroup) -> dict[str, Any]:
    known = group.acknowledged
    return asdict(group) | {
        "first_at": timestamp(group.first_at),
        "last_at": timestamp(group.last_at),
        "acknowledged": known and asdict(known) | {"at": timestamp(known.at)},
    }


def _counts(done: str) -> JsonSchema:
    number = {"type": "integer", "minimum": 0}
    return {
        "type": "object",
        "required": ["matched", done],
        "properties": {"matched": number, done: number},
    }


_SECONDS = {"type": "number", "minimum": 0, "maximum": 1_000_000_000}
_FILTERS: Filters = {
    **FILTERS,
    "error_kind": ("Only with this kind of failure.", TEXT),
    "event_type": ("Only of this type.", TEXT),
    "error": ("Only with this text of the failure; … stands for any characters.", TEXT),
    "older_than": ("Only older than this number of seconds.", _SECONDS),
    "newer_than": ("Only newer than this number of seconds.", _SECONDS),
}
_CAUSE: Filters = {
    name: _FILTERS[name] for name in ("source", "direction", "reason", "error_kind", "error")
}
_GROUPS: JsonSchema = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "source": {"type": "string"},
                    "direction": {"type": "string"},
                    "error_kind": NULLABLE_TEXT,
                    "reason": NULLABLE_TEXT,
                    "error": {
                        **NULLABLE_TEXT,
                        "description": "The text of the failure, with … for ids and numbers.",
                    },
                    "count": {"type": "integer"},
                    "first_at": {"type": "string", "format": "date-time"},
                    "last_at": {"type": "string", "format": "date-time"},
                    "acknowledged": {
                        "description": "Who works on the cause; null if a letter died since.",
                        "type": ["object", "null"],
                        "properties": {
                            "by": {"type": "string"},
                            "at": {"type": "string", "format": "date-time"},
                            "reason": NULLABLE_TEXT,
                        },
                    },
                    "example": {"type": "string", "description": "The newest dead letter."},
                },
            },
        }
    },
}
_REVEAL = Parameter(
    "reveal",
    "`true` shows the values of fields too; they are personal data.",
    schema={"type": "boolean", "default": False},
)
_CHOICE: JsonSchema = {
    "description": "Which dead letters: a filter, or `all`.",
    "type": "object",
    "properties": {
        **{name: kind for name, (_, kind) in _FILTERS.items()},
        "ids": {"type": "array", "minItems": 1, "maxItems": 1000, "items": UUID},
        "all": {"type": "boolean", "description": "All of them; without a filter."},
        "dry_run": {"type": "boolean", "description": "Only count."},
    },
    "additionalProperties": False,
}
