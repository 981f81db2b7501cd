"""Serve `/connections/{name}/test`: show a record both ways, without a call."""

from collections.abc import Mapping

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.json_forms import COMMON
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.errors import InvalidInput
from zenskar.model.fields import CUSTOMER
from zenskar.model.scope import Scope
from zenskar.schema_catalog import Schema


class ProfileTrials:
    """Show the effect of a connection's integration and profile on one document."""

    def __init__(self, services: ApiServices) -> None:
        self._operations = services.operations
        self._body = Schema("trial", dict(_REQUEST))

    async def test(self, request: web.Request) -> web.Response:
        """Translate a record or an object both ways; nothing is written or called.

        Raises `InvalidInput` unless the body has either a record or an object.
        """
        trial = self._operations.profile_trial(request.match_info["name"])
        body = await bodies.read_json(request, self._body)
        if len(body) != 1:
            raise InvalidInput("give either a record or an object")
        if "record" in body:
            found = trial.of_record(CUSTOMER.entity_type, body["record"])
        else:
            found = trial.of_object(CUSTOMER.entity_type, body["object"])
        return bodies.json_response(found)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "POST",
                "/connections/{name}/test",
                self.test,
                "Show a record both ways",
                {200: ResponseDoc("The document there, and the record that comes back.", "Trial")},
                (400, 404, 408, 409, 413, 415, 422, 502, *COMMON),
                "TrialRequest",
                scope=Scope.WRITE,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {"TrialRequest": _REQUEST, "Trial": _TRIAL}


_REQUEST: JsonSchema = {
    "type": "object",
    "description": "One of both.",
    "properties": {
        "record": {"type": "object", "description": "A customer."},
        "object": {"type": "object", "description": "An object of the external system."},
    },
    "additionalProperties": False,
}
_TRIAL: JsonSchema = {
    "type": "object",
    "required": ["document", "record", "not_seen", "travels"],
    "properties": {
        "document": {"type": "object", "description": "The canonical document there."},
        "body": {
            "type": ["object", "null"],
            "description": "The body of a create, for a record.",
        },
        "record": {"type": "object", "description": "The record that comes back."},
        "not_seen": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The fields that are not seen.",
        },
        "travels": {"type": "boolean", "description": "Whether the record passes the filter."},
    },
}
