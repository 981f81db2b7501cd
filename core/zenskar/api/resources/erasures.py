"""Serve `/customers/{id}/erase`."""

from collections.abc import Mapping

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator
from zenskar.api.http.json_forms import NULLABLE_TIME
from zenskar.api.http.queries import DRY_RUN, query_of
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.resources.customers import id_of
from zenskar.api.services import ApiServices
from zenskar.model.scope import Scope
from zenskar.model.timestamps import timestamp


class Erasures:
    """Erase the personal data of customers."""

    def __init__(self, services: ApiServices) -> None:
        self._eraser = services.operations.eraser()

    async def erase(self, request: web.Request) -> web.Response:
        """Erase a customer permanently; a dry run only counts."""
        dry_run = query_of(request).flag("dry_run")
        found = await self._eraser.erase(id_of(request), operator(request), dry_run=dry_run)
        erased_at = timestamp(found.erased_at) if found.erased_at else None
        return bodies.json_response(
            {
                "id": found.id,
                "dry_run": dry_run,
                "erased_at": erased_at,
                "rows": dict(found.rows),
                "external": list(found.external),
            }
        )

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                "POST",
                "/customers/{id}/erase",
                self.erase,
                "Erase a customer",
                {
                    200: ResponseDoc(
                        "The numbers of erased rows, and the external objects that remain.",
                        "Erased",
                    )
                },
                (400, 401, 403, 404, 409, 429, 503),
                parameters=(DRY_RUN, REASON),
                scope=Scope.ADMIN,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        external = {
            "type": "object",
            "properties": {
                "source_system": {"type": "string"},
                "external_id": {"type": "string"},
                "state": {"type": "string"},
            },
        }
        return {
            "Erased": {
                "type": "object",
                "required": ["id", "dry_run", "erased_at", "rows", "external"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "dry_run": {"type": "boolean"},
                    "erased_at": NULLABLE_TIME,
                    "rows": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "external": {"type": "array", "items": external},
                },
            }
        }
