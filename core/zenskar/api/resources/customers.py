"""Serve `/customers`."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import hdrs, web

from zenskar.api.http import bodies
from zenskar.api.http.auth import operator
from zenskar.api.http.correlation import correlation_id, traceparent
from zenskar.api.http.idempotency_header import REPLAYED, REPLAYED_DOC, idempotency, once
from zenskar.api.http.json_forms import COMMON, NULLABLE_TEXT, page_response, page_schema
from zenskar.api.http.queries import FILTER_TEXT, PAGE_PARAMETERS, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.errors import InvalidInput, NotFound
from zenskar.ids import is_id
from zenskar.model.scope import Scope
from zenskar.schema_catalog import Schema

_OBJECT = Schema("customer", {"type": "object"})
"""The schema of a change; full validation needs the stored customer."""
_IF_MATCH = Parameter("If-Match", "The `ETag` that the customer must still have.", "header")
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_ELEMENT = rf"[ \t]*(?:{_TAG.pattern}[ \t]*)?"
_TAGS = re.compile(rf"{_ELEMENT}(?:,{_ELEMENT})*")
"""A list of tags, of which elements may be empty (RFC 9110, section 5.6.1)."""
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_ONE = ResponseDoc("The customer.", "Customer", headers={"ETag": "Its version."})


class Customers:
    """Create, read, replace, patch and delete customers."""

    def __init__(self, services: ApiServices) -> None:
        self._customers = services.customers
        self._schema = services.schemas["customer"]
        self._input = self._schema.part("create")
        self._patch = self._schema.part("patch")

    async def create(self, request: web.Request) -> web.Response:
        """Create a customer."""
        document = await bodies.read_json(request, self._input)
        created = await self._customers.create(
            document,
            correlation_id=correlation_id(request),
            traceparent=traceparent(request),
            by=operator(request),
            once=idempotency(request, document),
        )
        headers = {"Location": f"/customers/{created.view['id']}", "ETag": _etag(created.view)}
        if created.replayed:
            headers[REPLAYED] = "true"
        return bodies.json_response(created.view, 201, headers)

    async def list(self, request: web.Request) -> web.Response:
        """Return a page of customers."""
        query = query_of(request)
        page = await self._customers.list(
            most=query.limit, before=query.before, email=query.text("email")
        )
        return page_response(page.views, page.last_id)

    async def get(self, request: web.Request) -> web.Response:
        """Return one customer."""
        view = await self._customers.get(id_of(request))
        return bodies.json_response(view, headers={"ETag": _etag(view)})

    async def replace(self, request: web.Request) -> web.Response:
        """Replace a customer by a document."""
        customer_id = id_of(request)
        document = await bodies.read_json(request, _OBJECT)
        with _valid_at_least(self._input, document):
            view = await self._customers.replace(
                customer_id,
                document,
                correlation_id=correlation_id(request),
                traceparent=traceparent(request),
                by=operator(request),
                expected=_expected(request),
            )
        return bodies.json_response(view, headers={"ETag": _etag(view)})

    async def patch(self, request: web.Request) -> web.Response:
        """Change some fields of a customer."""
        customer_id = id_of(request)
        patch = await bodies.read_json(request, _OBJECT, bodies.PATCH_TYPES)
        with _valid_at_least(self._patch, patch):
            view = await self._customers.patch(
                customer_id,
                patch,
                correlation_id=correlation_id(request),
                traceparent=traceparent(request),
                by=operator(request),
                expected=_expected(request),
            )
        return bodies.json_response(view, headers={"ETag": _etag(view)})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a customer."""
        await self._customers.delete(
            id_of(request),
            correlation_id=correlation_id(request),
            traceparent=traceparent(request),
            by=operator(request),
            expected=_expected(request),
        )
        return web.Response(status=204)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        one, many = "/customers/{id}", "/customers"
        created = ResponseDoc(
            "The new customer.",
            "Customer",
            headers={"Location": "Its address.", "ETag": "Its version.", **REPLAYED_DOC},
        )
        email = Parameter(
            "email", "Only customers with exactly this e-mail address.", schema=FILTER_TEXT
        )
        refused = (400, 404, 408, 412, 413, 415, 422, *COMMON)
        return (
            Route(
                "POST",
                many,
                self.create,
                "Create a customer",
                {201: created},
                (400, 408, 413, 415, 422, *COMMON),
                "CustomerInput",
                parameters=(once("customer"),),
                scope=Scope.WRITE,
            ),
            Route(
                "GET",
                many,
                self.list,
                "List customers, newest first",
                {200: ResponseDoc("A page.", "CustomerPage")},
                (400, *COMMON),
                parameters=(*PAGE_PARAMETERS, email),
                scope=Scope.READ,
            ),
            Route(
                "GET",
                one,
                self.get,
                "Read a customer",
                {200: _ONE},
                (400, 404, *COMMON),
                scope=Scope.READ,
            ),
            Route(
                "PUT",
                one,
                self.replace,
                "Replace a customer",
                {200: _ONE},
                refused,
                "CustomerReplacement",
                parameters=(_IF_MATCH,),
                scope=Scope.WRITE,
            ),
            Route(
                "PATCH",
                one,
                self.patch,
                "Change a customer by a JSON merge patch",
                {200: _ONE},
                refused,
                "CustomerPatch",
                bodies.PATCH_TYPES,
                (_IF_MATCH,),
                scope=Scope.WRITE,
            ),
            Route(
                "DELETE",
                one,
                self.delete,
                "Delete a customer",
                {204: ResponseDoc("The customer is deleted.")},
                (400, 404, 412, *COMMON),
                parameters=(_IF_MATCH,),
                scope=Scope.WRITE,
            ),
        )

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the input, as they are checked, and of the responses."""
        definitions: dict[str, Any] = self._schema.document["$defs"]
        inputs = {d.get("title", name): d for name, d in definitions.items()}
        fields = self._schema.document["properties"]
        return {**inputs, "Customer": _customer_view(fields), **_VIEWS}


@contextmanager
def _valid_at_least(schema: Schema, body: Mapping[str, Any]) -> Iterator[None]:
    """Report an invalid body before a missing customer. Raises `SchemaViolation`."""
    try:
        yield
    except NotFound:
        schema.check(body)
        raise


def id_of(request: web.Request) -> str:
    """Return the id of the customer in a path. Raises `NotFound` for text that is no id."""
    customer_id = request.match_info["id"]
    if not is_id(customer_id):
        raise NotFound("there is no customer with this id")
    return customer_id.lower()


def _etag(view: Mapping[str, Any]) -> str:
    return f'"{view["version"]}"'


def _expected(request: web.Request) -> Collection[int] | None:
    """Return the versions that If-Match allows, None for any (RFC 9110, section 13.1.1).

    Raises `InvalidInput` for a header that cannot be parsed: its sender expects a condition.
    """
    lines = request.headers.getall(hdrs.IF_MATCH, None)
    if lines is None or lines == ["*"]:
        return None
    tags = [tag for line in lines for tag in _TAG.findall(line)]
    if not tags or not all(_TAGS.fullmatch(line) for line in lines):
        raise InvalidInput('If-Match: must be * or entity tags, such as "1"')
    return [int(value) for weak, value in tags if not weak and _VERSION.fullmatch(value)]


_VIEWS: dict[str, JsonSchema] = {
    "External": {
        "type": "object",
        "required": ["source_system", "external_id", "state", "synced_version", "in_sync"],
        "properties": {
            "source_system": {"type": "string"},
            "external_id": NULLABLE_TEXT,
            "state": {"enum": ["active", "deleted", "merged", "outside", "pending"]},
            "synced_version": {"type": ["integer", "null"]},
            "in_sync": {"type": "boolean"},
        },
    },
    "CustomerPage": page_schema("Customer"),
}


def _customer_view(fields: Mapping[str, JsonSchema]) -> JsonSchema:
    """Return the schema of a customer in a response, with these fields of the entity."""
    return {
        "type": "object",
        "required": ["id", *fields, "version", "created_at", "updated_at"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            **fields,
            "version": {"type": "integer", "minimum": 1},
            "created_at": {"type": "string", "format": "date-time"},
            "updated_at": {"type": "string", "format": "date-time"},
            "external": {
                "description": "The state of the customer at each external system; on reads only.",
                "type": "array",
                "items": {"$ref": "#/$defs/External"},
            },
        },
    }
