"""A route together with its description, so that neither exists without the other."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from zenskar.model.scope import Scope

JsonSchema = Mapping[str, Any]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query or in a header."""

    name: str
    description: str
    place: str = "query"
    schema: JsonSchema = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class ResponseDoc:
    """An answer: what it means, the component that its body is, its headers."""

    description: str
    body: str | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `body` names the component that is sent; `public`: no API key is asked for.

    `scope` is what a key needs. Answers that are problems are given by status alone.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, ResponseDoc]
    problems: tuple[int, ...] = ()
    body: str | None = None
    body_types: tuple[str, ...] = ("application/json",)
    parameters: tuple[Parameter, ...] = ()
    public: bool = False
    scope: Scope = Scope.ADMIN


class Resource(Protocol):
    """A group of routes that share their schemas."""

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The JSON Schemas that the routes name."""

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
