"""Serve `/runs`: compare, repair and backfill a connection in the background."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from zenskar.api.http import bodies
from zenskar.api.http.auth import REASON, operator, require
from zenskar.api.http.json_forms import (
    COMMON,
    NULLABLE_TEXT,
    NULLABLE_TIME,
    page_response,
    page_schema,
)
from zenskar.api.http.queries import FILTER_TEXT, PAGE_PARAMETERS, TIME_PARAMETERS, query_of
from zenskar.api.http.routes import JsonSchema, Parameter, ResponseDoc, Route
from zenskar.api.resources.sync_events import UUID, event_id_of
from zenskar.api.services import ApiServices
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators.runs import OperatorRun, RunFilter
from zenskar.model.missing import Missing
from zenskar.model.operator_run import RunKind, RunState
from zenskar.model.scope import Scope
from zenskar.model.timestamps import timestamp
from zenskar.ops.runs import run_requests
from zenskar.ops.runs.run_requests import RunRequest
from zenskar.schema_catalog import Schema


class Runs:
    """Request, list, read and stop runs."""

    def __init__(self, services: ApiServices) -> None:
        self._engine = services.engine
        self._router = services.router
        self._body = Schema("run", dict(_REQUEST))

    async def create(self, request: web.Request) -> web.Response:
        """Request a run, which a worker begins within seconds."""
        body = await bodies.read_json(request, self._body)
        wanted = _request_of(body)
        if wanted.kind.changes:
            require(request, Scope.ADMIN)
        run_requests.check_target(self._router, wanted)
        by = operator(request)
        run = await in_transaction(self._engine, lambda c: run_requests.request_run(c, wanted, by))
        return bodies.json_response(_view(run), 202, {"Location": f"/runs/{run.id}"})

    async def list(self, request: web.Request) -> web.Response:
        """Return a page of runs."""
        query = query_of(request)
        wanted = RunFilter(
            query.text("source"),
            query.text("kind"),
            query.text("state"),
            query.moment("since"),
            query.moment("until"),
        )
        page = await in_transaction(
            self._engine,
            lambda c: run_requests.page(c, wanted, limit=query.limit, before=query.before),
        )
        data = [_view(run) for run in page.runs]
        return page_response(data, page.last_id)

    async def get(self, request: web.Request) -> web.Response:
        """Return one run with its progress and its result."""
        run_id = event_id_of(request)
        run = await in_transaction(self._engine, lambda c: run_requests.read(c, run_id))
        return bodies.json_response(_view(run))

    async def plan(self, request: web.Request) -> web.Response:
        """Return the whole plan that a run has made."""
        run_id = event_id_of(request)
        plan = await in_transaction(self._engine, lambda c: run_requests.read_plan(c, run_id))
        return bodies.json_response(plan)

    async def stop(self, request: web.Request) -> web.Response:
        """Stop a run; its checkpoint stays."""
        run_id, by = event_id_of(request), operator(request)
        run = await in_transaction(self._engine, lambda c: run_requests.stop(c, run_id, by))
        return bodies.json_response(_view(run), 202)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        one = {200: ResponseDoc("The run.", "Run")}
        taken = {202: ResponseDoc("The run.", "Run")}
        begun = {202: ResponseDoc("The run.", "Run", headers={"Location": "Its address."})}
        page = {200: ResponseDoc("A page.", "RunPage")}
        plan = {200: ResponseDoc("The plan: ids, versions and digests, no values.", "RunPlan")}
        sent = (400, 404, 408, 409, 413, 415, 422, *COMMON)
        single = "/runs/{id}"
        return (
            Route("POST", "/runs", self.create, "Request a run", begun, sent, "RunRequest",
                  parameters=(REASON,), scope=Scope.WRITE),
            Route("GET", "/runs", self.list, "List runs, newest first", page, (400, *COMMON),
                  parameters=(*PAGE_PARAMETERS, *_FILTERS, *TIME_PARAMETERS), scope=Scope.READ),
            Route("GET", single, self.get, "Read a run", one, (400, 404, *COMMON),
                  scope=Scope.READ),
            Route("GET", f"{single}/plan", self.plan, "Read the plan of a run", plan,
                  (400, 404, *COMMON), scope=Scope.READ),
            Route("POST", f"{single}/stop", self.stop, "Stop a run", taken,
                  (400, 404, 409, *COMMON), parameters=(REASON,), scope=Scope.WRITE),
        )  # fmt: skip

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The schemas of the routes."""
        return {
            "Run": _RUN,
            "RunRequest": _REQUEST,
            "RunPlan": {"type": "object"},
            "RunPage": page_schema("Run"),
        }


def _request_of(body: Mapping[str, Any]) -> RunRequest:
    missing, fields, ids = body.get("missing"), body.get("match_by"), body.get("event_ids")
    return RunRequest(
        kind=RunKind(body["kind"]),
        source=body["source"],
        entity_type=body.get("entity_type", ""),
        missing=Missing(missing) if missing else None,
        force=body.get("force", False),
        restart=body.get("restart", False),
        match_by=tuple(fields) if fields else None,
        plan_of=body.get("plan_of"),
        event_ids=tuple(ids) if ids else None,
    )


def _view(run: OperatorRun) -> dict[str, Any]:
    times = {name: getattr(run, name) for name in ("created_at", "started_at", "ended_at")}
    return asdict(run) | {name: at and timestamp(at) for name, at in times.items()}


_KINDS = [kind.value for kind in RunKind]
_FILTERS = (
    Parameter("source", "Only of this connection.", schema=FILTER_TEXT),
    Parameter("kind", "Only of this kind.", schema={"type": "string", "enum": _KINDS}),
    Parameter(
        "state",
        "Only with this state.",
        schema={"type": "string", "enum": [state.value for state in RunState]},
    ),
)
_NAME = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^\\u0000-\\u001f]*$"}
_REQUEST: JsonSchema = {
    "type": "object",
    "required": ["kind", "source"],
    "properties": {
        "kind": {"enum": _KINDS},
        "source": {**_NAME, "description": "The connection."},
        "entity_type": {**_NAME, "description": "Such as customer; not for drop_deletes."},
        "missing": {
            "enum": [choice.value for choice in Missing],
            "description": "The repair of records whose object is missing.",
        },
        "force": {"type": "boolean", "description": "Repair although very many are missing."},
        "restart": {"type": "boolean", "description": "Forget the checkpoint of a stopped run."},
        "match_by": {"type": "array", "minItems": 1, "maxItems": 10, "items": _NAME},
        "plan_of": {**UUID, "description": "The run whose plan is applied."},
        "event_ids": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "items": UUID,
            "description": "The held deletes to drop, by their sync events; all without it.",
        },
    },
    "additionalProperties": False,
}
_RUN: JsonSchema = {
    "type": "object",
    "required": ["id", "kind", "source_system", "entity_type", "state", "progress", "result"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "kind": {"enum": _KINDS},
        "source_system": {"type": "string"},
        "entity_type": {"type": "string", "description": "Empty for all entity types."},
        "options": {"type": "object"},
        "plan_of": NULLABLE_TEXT,
        "by": {"type": "string"},
        "place": {"type": "string"},
        "reason": NULLABLE_TEXT,
        "state": {"enum": [state.value for state in RunState]},
        "progress": {
            "type": "object",
            "properties": {
                "phase": {"type": "string"},
                "done": {"type": "integer"},
                "total": {"type": ["integer", "null"]},
                "found": {"type": "integer"},
            },
        },
        "result": {"type": "object"},
        "problem": {**NULLABLE_TEXT, "description": "Why the run has not reached its end."},
        "has_plan": {"type": "boolean"},
        "deserted": {"type": "boolean"},
        "created_at": NULLABLE_TIME,
        "started_at": NULLABLE_TIME,
        "ended_at": NULLABLE_TIME,
    },
}
