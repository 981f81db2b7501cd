"""Serve `/connections/{name}/link`: link an external object with a customer."""

from collections.abc import Mapping
from dataclasses import asdict

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator
from zenskar.api.http.queries import DRY_RUN, query_of
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.errors import InvalidInput
from zenskar.ids import is_id
from zenskar.model.fields import CUSTOMER
from zenskar.model.scope import Scope
from zenskar.schema_catalog import Schema
from zenskar.sync.reconcile.field_fate import FieldFate

_WAIT_SECONDS = 10.0
"""A client waits for the workers; a repeat completes a link that takes longer."""


class Links:
    """Link objects with customers."""

    def __init__(self, services: ApiServices) -> None:
        self._operations = services.operations
        self._router = services.router
        self._body = Schema("link", dict(_REQUEST))

    async def link(self, request: web.Request) -> web.Response:
        """Fetch an object and link it with a customer; a dry run only shows the effect.

        Raises `InvalidInput` unless the body names either a customer or a new one.
        """
        name = request.match_info["name"]
        self._router.owner(name)
        body = await bodies.read_json(request, self._body)
        customer_id = body.get("customer_id")
        if (customer_id is None) is not body.get("new", False):
            raise InvalidInput("give a customer_id, or new: true, and not both")
        if customer_id is not None and not is_id(customer_id):
            raise InvalidInput("customer_id: must be a valid uuid")
        linked = await self._operations.object_linker(wait_seconds=_WAIT_SECONDS).link(
            name,
            CUSTOMER.entity_type,
            body["external_id"],
            customer_id and customer_id.lower(),
            operator(request),
            dry_run=query_of(request).flag("dry_run"),
        )
        return bodies.json_response(asdict(linked))

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "POST",
                "/connections/{name}/link",
                self.link,
                "Link an external object with a customer",
                {200: ResponseDoc("The link, and its effect on each field.", "ObjectLink")},
                (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 502, 503),
                "LinkRequest",
                parameters=(DRY_RUN, REASON),
                scope=Scope.ADMIN,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {"LinkRequest": _REQUEST, "ObjectLink": _LINK}


_REQUEST: JsonSchema = {
    "type": "object",
    "required": ["external_id"],
    "properties": {
        "external_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 512,
            "pattern": "^[^\\u0000-\\u001f\\u007f]*$",
        },
        "customer_id": {"type": "string", "format": "uuid"},
        "new": {"type": "boolean", "description": "Create a customer for the object."},
    },
    "additionalProperties": False,
}
_LINK: JsonSchema = {
    "type": "object",
    "required": ["source_system", "external_id", "record_id", "creates_record", "fields", "done"],
    "properties": {
        "source_system": {"type": "string"},
        "external_id": {"type": "string"},
        "record_id": {"type": "string", "format": "uuid"},
        "creates_record": {"type": "boolean"},
        "fields": {
            "type": "object",
            "additionalProperties": {"enum": [fate.value for fate in FieldFate]},
        },
        "done": {"type": "boolean", "description": "False for a dry run."},
        "outside": {
            "type": "boolean",
            "description": "The filter excludes the customer, so nothing travels yet.",
        },
        "dead_letters": {
            "type": "integer",
            "description": "The dead letters that asked for this decision, and end.",
        },
    },
}
