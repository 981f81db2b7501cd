"""Serve `/bus`: the state of the bus, one message of it, and the end of a message."""

from collections.abc import Mapping
from dataclasses import asdict

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator
from zenskar.api.http.json_forms import COMMON, NULLABLE_TEXT
from zenskar.api.http.queries import PAGE_PARAMETERS, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.model.scope import Scope
from zenskar.ops.state import bus_state
from zenskar.ops.state.message_place import PATTERN, LogPlace, OutboxPlace, parse_place


class BusRoutes:
    """Show the bus and its messages, and dead-letter a message."""

    def __init__(self, services: ApiServices) -> None:
        self._operations = services.operations

    async def show(self, request: web.Request) -> web.Response:
        """Return the partitions, and the messages in the outbox."""
        found = await self._operations.bus_messages().state(most=query_of(request).limit)
        return bodies.json_response(
            {
                "partitions": bus_state.partition_rows(found),
                "problem": found.problem or None,
                "outbox": [asdict(each) for each in found.depths],
                "complete": found.complete,
                "oldest": bus_state.message_rows(found),
            }
        )

    async def peek(self, request: web.Request) -> web.Response:
        """Return a message without values."""
        found = await self._operations.bus_messages().peek(_place(request))
        return bodies.json_response(asdict(found))

    async def dead_letter(self, request: web.Request) -> web.Response:
        """End a message as a dead letter."""
        place, by = _place(request), operator(request)
        done = await self._operations.bus_messages().dead_letter(place, by)
        return bodies.json_response(asdict(done))

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "GET",
                "/bus",
                self.show,
                "Show the bus",
                {200: ResponseDoc("The partitions, and the outbox.", "BusState")},
                (400, *COMMON),
                parameters=(PAGE_PARAMETERS[0],),
                scope=Scope.READ,
            ),
            Route(
                "GET",
                "/bus/peek",
                self.peek,
                "Peek at a message on the bus",
                {200: ResponseDoc("The message without values.", "PeekedMessage")},
                (400, 404, *COMMON),
                parameters=(_PLACE,),
                scope=Scope.READ,
            ),
            Route(
                "POST",
                "/bus/dead-letter",
                self.dead_letter,
                "End a message on the bus as a dead letter",
                {200: ResponseDoc("The message is gone.", "EndedMessage")},
                (400, 404, 409, *COMMON),
                parameters=(_PLACE, REASON),
                scope=Scope.ADMIN,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {"BusState": _STATE, "PeekedMessage": _PEEKED, "EndedMessage": _ENDED}


def _place(request: web.Request) -> OutboxPlace | LogPlace:
    return parse_place(query_of(request).text("place") or "")


_PLACE = Parameter(
    "place",
    "`outbox/ID`, `TOPIC/PARTITION/OFFSET`, or `TOPIC/PARTITION` for the message at its head.",
    schema={"type": "string", "pattern": f"^{PATTERN}$"},
    required=True,
)
_NUMBER = {"type": "integer"}
_TIME = {"type": "string", "format": "date-time"}
_STATE: JsonSchema = {
    "type": "object",
    "required": ["partitions", "problem", "outbox", "complete", "oldest"],
    "properties": {
        "partitions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "The topic and the partition."},
                    "begin": _NUMBER,
                    "end": _NUMBER,
                    "committed": {"type": ["integer", "null"]},
                    "behind": _NUMBER,
                    "owner": {
                        **NULLABLE_TEXT,
                        "description": "The host of the worker that receives it.",
                    },
                },
            },
        },
        "problem": {**NULLABLE_TEXT, "description": "Why the partitions cannot be read."},
        "outbox": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "topic": {"type": "string"},
                    "source": {"type": "string"},
                    "state": {"enum": ["due", "delayed", "parked", "claimed"]},
                    "count": _NUMBER,
                    "oldest_at": _TIME,
                },
            },
        },
        "complete": {"type": "boolean", "description": "Whether all messages are counted."},
        "oldest": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "place": {"type": "string"},
                    "id": _NUMBER,
                    "topic": {"type": "string"},
                    "key": {"type": "string"},
                    "source": {"type": "string"},
                    "attempts": _NUMBER,
                    "created_at": _TIME,
                    "available_at": _TIME,
                    "state": {"type": "string"},
                },
            },
        },
    },
}
_PEEKED: JsonSchema = {
    "type": "object",
    "required": ["place", "topic", "key", "state", "message"],
    "properties": {
        "place": {"type": "string"},
        "topic": {"type": "string"},
        "key": {"type": "string"},
        "state": {"enum": ["due", "delayed", "parked", "claimed", "head", "waiting", "done"]},
        "attempts": _NUMBER,
        "event_id": NULLABLE_TEXT,
        "event_type": NULLABLE_TEXT,
        "source": NULLABLE_TEXT,
        "status": {**NULLABLE_TEXT, "description": "The status of the sync event."},
        "problem": {**NULLABLE_TEXT, "description": "Why the message cannot be read."},
        "message": {"description": "The message without values."},
    },
}
_ENDED: JsonSchema = {
    "type": "object",
    "required": ["place", "event_id", "dead"],
    "properties": {
        "place": {"type": "string"},
        "event_id": {"type": "string", "format": "uuid"},
        "dead": {"type": "boolean", "description": "False if the event had ended before."},
    },
}
