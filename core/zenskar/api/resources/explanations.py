"""Serve `/customers/{id}/explanation`: the history of a customer in causal order."""

from collections.abc import Mapping

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator, require
from zenskar.api.http.json_forms import COMMON, NULLABLE_TIME
from zenskar.api.http.queries import FILTER_TEXT, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.resources.customers import id_of
from zenskar.api.services import ApiServices
from zenskar.db.driver.engine import in_transaction
from zenskar.model.operator_action import ActionKind
from zenskar.model.scope import Scope
from zenskar.ops.audit import AuditEntry
from zenskar.ops.explain import explainer
from zenskar.ops.explain.hiding import hidden

_DEFAULT_EVENTS = 100


class Explanations:
    """Explain customers, also deleted ones."""

    def __init__(self, services: ApiServices) -> None:
        self._engine = services.engine

    async def explain(self, request: web.Request) -> web.Response:
        """Return the explanation of a customer, without values unless they are revealed."""
        customer_id, query = id_of(request), query_of(request)
        most, field, reveals = query.number("limit"), query.text("field"), query.flag("reveal")
        if reveals:
            require(request, Scope.ADMIN)
        found = await explainer.explain(
            self._engine, customer_id, most_events=int(most or _DEFAULT_EVENTS)
        )
        if field is not None:
            found = explainer.narrow(found, field)
        if not reveals:
            return bodies.json_response(hidden(found))
        entry = AuditEntry(ActionKind.REVEAL, operator(request), customer_id)
        await in_transaction(self._engine, entry.write)
        return bodies.json_response(found)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("GET", "/customers/{id}/explanation", self.explain, "Explain a customer",
                  {200: ResponseDoc("The state, the open work and the history.", "Explanation")},
                  (400, 404, *COMMON), parameters=(*_PARAMETERS, REASON), scope=Scope.READ),
        )  # fmt: skip

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {"Explanation": _EXPLANATION}


_PARAMETERS = (
    Parameter("field", "Only this field: `email`, `metadata.plan`.", schema=FILTER_TEXT),
    Parameter(
        "limit",
        "How many sync events at most, the newest.",
        schema={
            "type": "integer",
            "minimum": 1,
            "maximum": explainer.MOST_EVENTS,
            "default": _DEFAULT_EVENTS,
        },
    ),
    Parameter(
        "reveal",
        "`true` shows the values of fields; the audit notes the reader.",
        schema={"type": "boolean", "default": False},
    ),
)
_OBJECTS = {"type": "array", "items": {"type": "object"}}
_EXPLANATION: JsonSchema = {
    "type": "object",
    "required": ["id", "version", "fields", "systems", "provenance", "unfinished", "steps"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "version": {"type": "integer"},
        "fields": {"type": "object", "description": "By JSON pointer."},
        "created_at": {"type": "string", "format": "date-time"},
        "updated_at": {"type": "string", "format": "date-time"},
        "deleted_at": NULLABLE_TIME,
        "systems": {**_OBJECTS, "description": "The state at each connection."},
        "provenance": {**_OBJECTS, "description": "The origin of each field."},
        "unfinished": {**_OBJECTS, "description": "The sync events that wait or are dead."},
        "steps": {**_OBJECTS, "description": "The history; `cause` is the number of a step."},
        "missing_versions": {"type": "array", "items": {"type": "integer"}},
        "truncated": {"type": "boolean", "description": "Older sync events were left out."},
        "field": {"type": ["string", "null"]},
    },
}
