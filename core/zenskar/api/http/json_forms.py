"""The forms that many routes share: pages of lists, values that may be null, failures."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from zenskar.api.http import bodies, cursors
from zenskar.api.http.routes import JsonSchema

COMMON = (401, 403, 429, 503)
"""The failures of every route that needs a key and the database."""
NULLABLE_TEXT: JsonSchema = {"type": ["string", "null"]}
NULLABLE_TIME: JsonSchema = {"type": ["string", "null"], "format": "date-time"}


def list_schema(component: str) -> JsonSchema:
    """Return the schema of a whole list, whose items are of a component."""
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"type": "array", "items": {"$ref": f"#/$defs/{component}"}}},
    }


def page_schema(component: str) -> JsonSchema:
    """Return the schema of a page of a list, whose items are of a component."""
    return {
        "type": "object",
        "required": ["data", "next_cursor"],
        "properties": {
            "data": {"type": "array", "items": {"$ref": f"#/$defs/{component}"}},
            "next_cursor": NULLABLE_TEXT,
        },
    }


def page_response(items: Sequence[Any], last_id: str | None) -> web.Response:
    """Return a page of a list; `last_id` is where the next page starts, None on the last page."""
    return bodies.json_response({"data": items, "next_cursor": cursors.encode(last_id)})
