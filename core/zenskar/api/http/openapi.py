"""Serve `/openapi.json`, built from the routes and their JSON Schemas.

https://spec.openapis.org/oas/v3.1.1.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from zenskar.api.http import bodies, problems, statuses
from zenskar.api.http.routes import JsonSchema, Parameter, Resource, ResponseDoc, Route

_PLACEHOLDER = re.compile(r"{(\w+)}")
_PROBLEM: JsonSchema = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "description": "Every place that breaks a rule, as a JSON pointer.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "message"],
                "properties": {"pointer": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


class Description:
    """Serves the OpenAPI document of all routes, its own included."""

    def __init__(self, version: str, others: Sequence[Resource]) -> None:
        self._document = document(version, [*others, self])

    async def show(self, _request: web.Request) -> web.Response:
        """Return the OpenAPI document."""
        return bodies.json_response(self._document)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        answers = {200: ResponseDoc("An OpenAPI 3.1 document.", "OpenApi")}
        return (Route("GET", "/openapi.json", self.show, "This description", answers, public=True),)

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {"OpenApi": {"type": "object"}, "Problem": _PROBLEM}


def document(version: str, resources: Iterable[Resource]) -> dict[str, Any]:
    """Return the OpenAPI document of these resources."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for resource in resources:
        schemas.update(resource.components)
        for route in resource.routes():
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "zenskar", "version": version},
        "paths": paths,
        "components": {
            "schemas": _relocated(schemas),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    placeholders = [
        Parameter(name, "Part of the address.", "path") for name in _PLACEHOLDER.findall(route.path)
    ]
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": [_parameter(p) for p in (*placeholders, *route.parameters)],
        "responses": {str(s): _response(a) for s, a in route.answers.items()}
        | {str(s): _problem(s) for s in sorted(route.problems)},
        "security": [] if route.public else [{"key": [route.scope.value]}],
    }
    if route.body:
        content = {kind: {"schema": _ref(route.body)} for kind in route.body_types}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"\w+", f"{route.method.lower()} {route.path}")
    return "_".join(words)


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required or parameter.place == "path",
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _response(answer: ResponseDoc) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.description}
    if answer.body:
        response["content"] = {answer.media_type: {"schema": _ref(answer.body)}}
    elif answer.media_type != "application/json":
        response["content"] = {answer.media_type: {"schema": {"type": "string"}}}
    if answer.headers:
        response["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in answer.headers.items()
        }
    return response


def _problem(status: int) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": _ref("Problem")}}
    return {"description": statuses.title(status), "content": content}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _relocated(schema: Any) -> Any:
    """Rewrite references from JSON Schema's `$defs` to OpenAPI's `components`."""
    if isinstance(schema, Mapping):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _relocated(value)
            for key, value in schema.items()
        }
    return [_relocated(item) for item in schema] if isinstance(schema, list) else schema
