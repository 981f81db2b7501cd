"""Serve `/doctor`, `/plugins` and `/migrations`: the state of the installation."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.json_forms import COMMON, NULLABLE_TEXT, list_schema
from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.api.shared_answer import SharedAnswer
from zenskar.db.schema import revision
from zenskar.model.scope import Scope
from zenskar.ops.checks.finding import CheckResult

_KEPT_SECONDS = 5.0
"""A checkup calls the external systems, so callers share it."""


class Installation:
    """Check all parts, list the plugins, and compare the schema with this release."""

    def __init__(self, services: ApiServices) -> None:
        self._engine = services.engine
        self._operations = services.operations
        self._checkup = SharedAnswer(services.operations.checkup().run, seconds=_KEPT_SECONDS)

    async def doctor(self, _request: web.Request) -> web.Response:
        """Check every part of this process."""
        report = await self._checkup.get()
        return bodies.json_response(report.to_json())

    async def plugins(self, _request: web.Request) -> web.Response:
        """Return the installed plugins, with the settings that this process has."""
        found = self._operations.inventory().plugins
        return bodies.json_response({"data": [plugin.to_json() for plugin in found]})

    async def migrations(self, _request: web.Request) -> web.Response:
        """Return the revision of the database and the newest revision."""
        status = await revision.status(self._engine)
        return bodies.json_response(status.to_json())

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        checked = {200: ResponseDoc("The findings, in the order in which to fix them.", "Checkup")}
        plugins = {200: ResponseDoc("The installed plugins.", "PluginList")}
        schema = {200: ResponseDoc("The revisions.", "MigrationStatus")}
        return (
            Route("GET", "/doctor", self.doctor, "Check every part of this process", checked,
                  COMMON, scope=Scope.WRITE),
            Route("GET", "/plugins", self.plugins, "List the installed plugins", plugins,
                  COMMON, scope=Scope.READ),
            Route("GET", "/migrations", self.migrations, "Compare the schema with this release",
                  schema, COMMON, scope=Scope.READ),
        )  # fmt: skip

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "Checkup": _CHECKUP,
            "Plugin": _PLUGIN,
            "PluginList": list_schema("Plugin"),
            "MigrationStatus": _of(
                current={**NULLABLE_TEXT, "description": "The revision of the database."},
                head={"type": "string", "description": "The newest revision of this release."},
                up_to_date={"type": "boolean"},
            ),
        }


def _of(**properties: Any) -> JsonSchema:
    """Return the schema of an object with all of these properties."""
    return {"type": "object", "required": list(properties), "properties": properties}


_TEXT = {"type": "string"}
_CHECKUP = _of(
    ok={"type": "boolean", "description": "Whether no part has failed."},
    checks={
        "type": "array",
        "items": _of(
            part=_TEXT,
            verdict={"enum": [each.value for each in CheckResult]},
            detail=_TEXT,
            fix={**NULLABLE_TEXT, "description": "What to do."},
        ),
    },
)
_PLUGIN = _of(
    name=_TEXT,
    distribution=_TEXT,
    version=_TEXT,
    kind={"enum": ["integration", "broadcast", None]},
    problem={**NULLABLE_TEXT, "description": "The problem of the plugin or of its connection."},
    entities={"type": "array", "items": _TEXT},
    missing={
        "type": "array",
        "items": _TEXT,
        "description": "The required variables that this process does not have.",
    },
    settings={
        "type": "array",
        "items": _of(
            variable=_TEXT,
            set={"type": "boolean"},
            required={"type": "boolean"},
            secret={"type": "boolean"},
            help=_TEXT,
        ),
    },
)
