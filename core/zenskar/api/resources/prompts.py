"""Serve requests for work that would happen later: a fetch, a push, a poll, a check."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator
from zenskar.api.http.json_forms import COMMON
from zenskar.api.http.queries import FILTER_TEXT, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.resources.customers import id_of
from zenskar.api.services import ApiServices
from zenskar.model.actor import Actor
from zenskar.model.fields import CUSTOMER
from zenskar.model.scope import Scope

_PromptRecord = Callable[[str, str, str | None, Actor], Awaitable[Sequence[str]]]


class Prompts:
    """Request work on a customer or a connection now."""

    def __init__(self, services: ApiServices) -> None:
        self._prompter = services.operations.prompter()

    async def fetch(self, request: web.Request) -> web.Response:
        """Request a fetch of a customer's objects, at one connection or at all."""
        return await _prompt_record(request, self._prompter.fetch)

    async def push(self, request: web.Request) -> web.Response:
        """Request a push of a customer, to one connection or to all."""
        return await _prompt_record(request, self._prompter.push)

    async def poll(self, request: web.Request) -> web.Response:
        """Make the next poll of a feed due now."""
        name = request.match_info["name"]
        await self._prompter.poll(name, operator(request))
        return bodies.json_response({"name": name}, 202)

    async def check(self, request: web.Request) -> web.Response:
        """Call the health check of a connection."""
        name = request.match_info["name"]
        health = await self._prompter.check(name, operator(request))
        return bodies.json_response({"name": name, "ok": health.ok, "detail": health.detail})

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        asked = {202: ResponseDoc("The connections that the work was requested at.", "Prompted")}
        due = {202: ResponseDoc("The poll is due.", "PolledConnection")}
        checked = {200: ResponseDoc("The answer of the external system.", "CheckedConnection")}
        problems = (400, 404, *COMMON)
        customer, connection = "/customers/{id}", "/connections/{name}"
        return (
            Route("POST", f"{customer}/fetch", self.fetch, "Fetch the objects of a customer now",
                  asked, problems, parameters=(_SOURCE, REASON), scope=Scope.WRITE),
            Route("POST", f"{customer}/push", self.push, "Push a customer now",
                  asked, problems, parameters=(_SOURCE, REASON), scope=Scope.WRITE),
            Route("POST", f"{connection}/poll", self.poll, "Read the feed of a connection now",
                  due, (400, 404, 409, *COMMON), parameters=(REASON,), scope=Scope.WRITE),
            Route("POST", f"{connection}/check", self.check,
                  "Check the credentials of a connection", checked, problems,
                  parameters=(REASON,), scope=Scope.WRITE),
        )  # fmt: skip

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        name = {"type": "string", "description": "The connection."}
        return {
            "Prompted": {
                "type": "object",
                "required": ["id", "connections"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "connections": {"type": "array", "items": {"type": "string"}},
                },
            },
            "PolledConnection": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": name},
            },
            "CheckedConnection": {
                "type": "object",
                "required": ["name", "ok", "detail"],
                "properties": {
                    "name": name,
                    "ok": {"type": "boolean", "description": "Whether the credentials work."},
                    "detail": {"type": "string"},
                },
            },
        }


async def _prompt_record(request: web.Request, prompt: _PromptRecord) -> web.Response:
    customer_id, source = id_of(request), query_of(request).text("source")
    found = await prompt(CUSTOMER.entity_type, customer_id, source, operator(request))
    return bodies.json_response({"id": customer_id, "connections": list(found)}, 202)


_SOURCE = Parameter("source", "Only this connection; all by default.", schema=FILTER_TEXT)
