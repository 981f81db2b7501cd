"""Read query parameters strictly: a mistyped filter must not return everything."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.api.http import cursors
from zenskar.api.http.routes import JsonSchema, Parameter, Route, route_of
from zenskar.errors import InvalidInput, SchemaViolation
from zenskar.ids import is_id
from zenskar.model.moment import parse_moment
from zenskar.schema_catalog import Schema

E = TypeVar("E", bound=StrEnum)

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
PAGE_PARAMETERS = (
    Parameter(
        "limit",
        "How many at most.",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    Parameter(
        "cursor",
        "The `next_cursor` of the page before.",
        schema={"type": "string", "pattern": cursors.PATTERN},
    ),
)
DRY_RUN = Parameter(
    "dry_run",
    "`true` changes nothing, and shows the effect.",
    schema={"type": "boolean", "default": False},
)
TIME_PARAMETERS = tuple(
    Parameter(name, text, schema={"type": "string", "format": "date-time"})
    for name, text in (("since", "Only since this time."), ("until", "Only before this time."))
)
FILTER_TEXT: JsonSchema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 512,
    "pattern": "^[^\\u0000-\\u001f\\u007f]*$",
}
"""The text of a filter, without control characters: no name has them."""
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,6})?")
_SWITCHES = {"true": True, "false": False}


class Query:
    """The parameters of one request, each given once and valid against its schema."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """Return a text, None without the parameter."""
        value: str | None = self._values.get(name)
        return value

    def one_of(self, name: str, choices: type[E]) -> E | None:
        """Return a member of an enumeration, None without the parameter."""
        value = self._values.get(name)
        return None if value is None else choices(value)

    def moment(self, name: str) -> datetime | None:
        """Return a time in UTC, None without the parameter. Raises `InvalidInput`."""
        value = self._values.get(name)
        return None if value is None else parse_moment(value)

    def number(self, name: str) -> float | None:
        """Return a number, None without the parameter."""
        value: float | None = self._values.get(name)
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean, False without the parameter."""
        return bool(self._values.get(name, False))

    @property
    def limit(self) -> int:
        """The number of entries that a page may have."""
        return int(self._values.get("limit", DEFAULT_LIMIT))

    @property
    def before(self) -> str | None:
        """The id after which the page starts. Raises `InvalidInput` for an invalid cursor."""
        return cursors.decode(self._values.get("cursor"))


_QUERY = web.RequestKey("query", Query)


class QueryReader:
    """Reads the query of one route, by the parameters that its description names."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._readers = {
            parameter.name: _reader(parameter.name, parameter.schema)
            for parameter in parameters
            if parameter.place == "query"
        }

    def read(self, request: web.Request) -> None:
        """Store the query for `query_of`. Raises `InvalidInput` that names the parameter."""
        request[_QUERY] = Query(self._values(request) if request.rel_url.raw_query_string else {})

    def _values(self, request: web.Request) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in request.query.items():
            if name not in self._readers:
                known = f"there are: {', '.join(self._readers)}" if self._readers else "none is"
                raise InvalidInput(f"there is no such parameter; {known}")
            if name in values:
                raise InvalidInput(f"{name}: is given twice")
            values[name] = self._readers[name](value)
        return values


class QueryReaders:
    """Reads queries by the route of a request; a query of a public route is not read."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._readers = {
            (route.method, route.path): QueryReader(route.parameters)
            for route in routes
            if not route.public
        }

    @web.middleware
    async def read_query(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Store the query for `query_of`. Raises `InvalidInput` when a parameter is not valid."""
        route = route_of(request)
        if route is not None and not route.public:
            self._readers[route.method, route.path].read(request)
        return await handler(request)


def query_of(request: web.Request) -> Query:
    """Return the query that `QueryReaders` has read."""
    return request[_QUERY]


def _reader(name: str, document: JsonSchema) -> Callable[[str], Any]:
    """Return a function that converts and validates the text of a parameter."""
    schema = Schema(name, dict(document))
    convert = _CONVERTERS[document.get("type", "string")]
    by_id = document.get("format") == "uuid"

    def read(text: str) -> Any:
        try:
            value = convert(text)
            schema.check(value)
        except SchemaViolation as error:
            raise InvalidInput(f"{name}: {error.violations[0].message}") from None
        except ValueError as error:
            raise InvalidInput(f"{name}: {error}") from None
        if by_id and not is_id(text):
            raise InvalidInput(f"{name}: must be a valid uuid")
        return value

    return read


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("has characters that are not allowed here") from None
    return text


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError("must be a number, such as 90 or 0.5")
    return float(text)


def _switch(text: str) -> bool:
    if text not in _SWITCHES:
        raise ValueError("must be true or false")
    return _SWITCHES[text]


_CONVERTERS: Mapping[str, Callable[[str], Any]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _switch,
}
