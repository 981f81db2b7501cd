"""The JSON forms of connections and held deletes, with their schemas."""

from typing import Any

from zenskar.api.http.json_forms import NULLABLE_TEXT, NULLABLE_TIME
from zenskar.api.http.routes import JsonSchema
from zenskar.db.connections import ACTIVE, PAUSED
from zenskar.db.events.held_deletes import HeldDelete
from zenskar.model.timestamps import timestamp
from zenskar.ops.connections import ConnectionStatus
from zenskar.ops.drop_deletes import ObjectState

HELD_DELETES: JsonSchema = {
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
                    "record_id": NULLABLE_TEXT,
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
CONNECTION: JsonSchema = {
    "type": "object",
    "required": [
        "name",
        "entities",
        "state",
        "reason",
        "pause_note",
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
        "reason": NULLABLE_TEXT,
        "pause_note": {
            **NULLABLE_TEXT,
            "description": "The reason that an operator gave for the pause.",
        },
        "account": NULLABLE_TEXT,
        "paused_at": NULLABLE_TIME,
        "held_until": {
            **NULLABLE_TIME,
            "description": "No call before this time, because of a rate limit.",
        },
        "polled_at": {
            **NULLABLE_TIME,
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
                    "held_until": NULLABLE_TIME,
                },
            },
        },
        "last_error": {
            "type": ["object", "null"],
            "properties": {"kind": NULLABLE_TEXT, "message": NULLABLE_TEXT, "at": NULLABLE_TIME},
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


def connection_view(status: ConnectionStatus, entities: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON form of a connection."""
    state, backlog = status.state, status.backlog
    return {
        "name": state.name,
        "entities": entities,
        "state": state.state,
        "reason": state.reason,
        "pause_note": status.pause_note,
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


def held_view(one: HeldDelete, state: ObjectState | None) -> dict[str, Any]:
    """Return the JSON form of a held delete, with the present state of its object if known."""
    view = {
        "sync_event_id": one.id,
        "entity_type": one.entity_type,
        "external_id": one.external_id,
        "record_id": one.record_id,
        "created_at": timestamp(one.created_at),
    }
    return view if state is None else view | {"object": state.value}
