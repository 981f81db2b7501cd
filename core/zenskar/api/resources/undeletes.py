"""Serve `/customers/{id}/undelete`."""

from collections.abc import Mapping
from dataclasses import asdict

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator
from zenskar.api.http.correlation import correlation_id
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.resources.customers import id_of
from zenskar.api.services import ApiServices
from zenskar.model.fields import CUSTOMER
from zenskar.model.scope import Scope
from zenskar.ops.undelete import LinkState


class Undeletes:
    """Restore deleted customers."""

    def __init__(self, services: ApiServices) -> None:
        self._operations = services.operations

    async def undelete(self, request: web.Request) -> web.Response:
        """Restore a customer, and its links to living objects."""
        customer_id = id_of(request)
        links = await self._operations.undeleter().undelete(
            CUSTOMER.entity_type, customer_id, operator(request), correlation_id(request)
        )
        return bodies.json_response({"id": customer_id, "links": [asdict(link) for link in links]})

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "POST",
                "/customers/{id}/undelete",
                self.undelete,
                "Undelete a customer",
                {200: ResponseDoc("The customer, with the state of each link.", "Undeleted")},
                (400, 401, 403, 404, 409, 429, 502, 503),
                parameters=(REASON,),
                scope=Scope.ADMIN,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        link = {
            "type": "object",
            "required": ["source_system", "external_id", "state"],
            "properties": {
                "source_system": {"type": "string"},
                "external_id": {"type": "string"},
                "state": {"enum": [state.value for state in LinkState]},
            },
        }
        return {
            "Undeleted": {
                "type": "object",
                "required": ["id", "links"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "links": {"type": "array", "items": link},
                },
            }
        }
