"""Serve `/audit`: list the actions of operators."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from zenskar.api.http.json_forms import (
    COMMON,
    NULLABLE_TEXT,
    NULLABLE_TIME,
    page_response,
    page_schema,
)
from zenskar.api.http.queries import FILTER_TEXT, PAGE_PARAMETERS, TIME_PARAMETERS, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators.actions import ActionFilter, OperatorAction
from zenskar.model.operator_action import ActionKind, ActionState
from zenskar.model.scope import Scope
from zenskar.model.timestamps import timestamp
from zenskar.ops import audit


class Audit:
    """List the actions of operators."""

    def __init__(self, services: ApiServices) -> None:
        self._engine = services.engine

    async def list(self, request: web.Request) -> web.Response:
        """Return a page of actions."""
        query = query_of(request)
        wanted = ActionFilter(
            query.text("action"),
            query.text("target"),
            query.text("state"),
            query.moment("since"),
            query.moment("until"),
        )
        page = await in_transaction(
            self._engine, lambda c: audit.page(c, wanted, limit=query.limit, before=query.before)
        )
        data = [_view(each) for each in page.actions]
        return page_response(data, page.last_id)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "GET",
                "/audit",
                self.list,
                "List the actions of operators, newest first",
                {200: ResponseDoc("A page.", "OperatorActionPage")},
                (400, *COMMON),
                parameters=(*PAGE_PARAMETERS, *_FILTERS, *TIME_PARAMETERS),
                scope=Scope.READ,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "OperatorAction": _ACTION,
            "OperatorActionPage": page_schema("OperatorAction"),
        }


def _view(action: OperatorAction) -> dict[str, Any]:
    return asdict(action) | {
        "at": timestamp(action.at),
        "ended_at": action.ended_at and timestamp(action.ended_at),
    }


_FILTERS = (
    Parameter(
        "action",
        "Only of this kind.",
        schema={"type": "string", "enum": [kind.value for kind in ActionKind]},
    ),
    Parameter("target", "Only with this connection, record or event.", schema=FILTER_TEXT),
    Parameter(
        "state",
        "Only with this state.",
        schema={"type": "string", "enum": [state.value for state in ActionState]},
    ),
)
_ACTION: JsonSchema = {
    "type": "object",
    "required": ["id", "at", "by", "place", "action", "target", "reason", "state", "ended_at"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "at": {"type": "string", "format": "date-time"},
        "by": {"type": "string", "description": "The API key or the user."},
        "place": {"type": "string", "description": "The address or the command line."},
        "action": {"enum": [kind.value for kind in ActionKind]},
        "target": {
            **NULLABLE_TEXT,
            "description": "The connection, the record, the event or the key.",
        },
        "reason": NULLABLE_TEXT,
        "request": {"type": "object", "description": "The confirmed choice and its numbers."},
        "state": {"enum": [state.value for state in ActionState]},
        "result": {"type": "object", "description": "The numbers of changes."},
        "ended_at": NULLABLE_TIME,
    },
}
