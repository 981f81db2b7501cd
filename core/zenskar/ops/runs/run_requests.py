"""Request a run, list runs, and stop one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import schedules
from zenskar.db.operators import runs
from zenskar.db.operators.runs import OperatorRun, RunFilter
from zenskar.errors import InvalidInput, NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.missing import Missing
from zenskar.model.operator_action import ActionKind
from zenskar.model.operator_run import RunKind
from zenskar.ops.audit import AuditEntry
from zenskar.plugins.declaration_problems import find_match_problem
from zenskar.plugins.router import PluginRouter
from zenskar.sync.reconcile.checkpoint import check_synced

MOST_PLAN_BYTES = 16 * 1024 * 1024
"""A larger plan is made and applied on the command line, in a file."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that an operator asks for. Each option belongs to the kinds that read it.

    `plan_of` is the run whose plan is applied. `event_ids` chooses held deletes, all for None.
    """

    kind: RunKind
    source: str
    entity_type: str = ""
    missing: Missing | None = None
    force: bool = False
    restart: bool = False
    match_by: tuple[str, ...] | None = None
    plan_of: str | None = None
    event_ids: tuple[str, ...] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The stored options, without those that were not given."""
        given = {
            "missing": self.missing and self.missing.value,
            "force": self.force,
            "restart": self.restart,
            "match_by": self.match_by and list(self.match_by),
            "event_ids": self.event_ids and list(self.event_ids),
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first, and the id to read the next page from; None on the last page."""

    runs: Sequence[OperatorRun]
    last_id: str | None


def schedule(source: str) -> str:
    """Return the name under which the runs of a connection are scheduled."""
    return f"runs:{source}"


async def request_run(db: AsyncConnection, request: RunRequest, by: Actor) -> OperatorRun:
    """Store a run, which a worker with the role `scheduler` begins within seconds.

    Raises `StateConflict` while another run of the entity type is in progress, `NotFound` without
    the run of the plan, and `InvalidInput` when the options do not fit the kind.
    """
    _check(request)
    if request.kind.planned_by is not None:
        request = await _of_plan(db, request)
    run_id = new_id()
    values = {
        "id": run_id,
        "kind": request.kind.value,
        "source_system": request.source,
        "entity_type": request.entity_type,
        "options": request.options,
        "plan_of": request.plan_of,
        "by": by.name,
        "place": by.place,
        "reason": by.reason,
    }
    if not await runs.add(db, values):
        raise StateConflict(
            f"another run of {request.source} {request.entity_type} is in progress: "
            "stop it, or wait for its end"
        )
    await schedules.hurry(db, schedule(request.source))
    return await read(db, run_id)


async def read(db: AsyncConnection, run_id: str) -> OperatorRun:
    """Return a run. Raises `NotFound`."""
    found = await runs.read(db, run_id)
    if found is None:
        raise NotFound("there is no run with this id")
    return found


async def read_plan(db: AsyncConnection, run_id: str) -> dict[str, Any]:
    """Return the plan of a run. Raises `NotFound` when the run has made none."""
    text = await runs.plan_text(db, run_id)
    if text is None:
        raise NotFound("there is no plan of a run with this id")
    plan: dict[str, Any] = orjson.loads(text)
    return plan


async def page(
    db: AsyncConnection, wanted: RunFilter, *, limit: int, before: str | None = None
) -> RunPage:
    """Return at most `limit` runs that match a filter and are older than `before`."""
    found = await runs.page(db, wanted, most=limit + 1, before=before)
    last_id = found[limit - 1].id if len(found) > limit else None
    return RunPage(found[:limit], last_id)


async def stop(db: AsyncConnection, run_id: str, by: Actor) -> OperatorRun:
    """Request the stop of a run; its checkpoint stays, so the same request resumes it.

    Raises `NotFound`, and `StateConflict` when the run has ended.
    """
    run = await read(db, run_id)
    if not await runs.stop(db, run_id):
        raise StateConflict(f"the run is {run.state} already")
    request = {"run": run_id, "kind": run.kind}
    await AuditEntry(ActionKind.STOP, by, run.source_system, request).write(db)
    return await read(db, run_id)


def check_target(router: PluginRouter, request: RunRequest) -> None:
    """Check that the connection of a request syncs its entity type, by the fields of a join.

    Raises `NotFound` for an unknown connection, else `InvalidInput`.
    """
    owner = router.owner(request.source)
    if request.entity_type:
        check_synced(router, request.source, request.entity_type)
    if request.match_by and (
        problem := find_match_problem(type(owner), request.entity_type, request.match_by)
    ):
        raise InvalidInput(problem)


def _check(request: RunRequest) -> None:
    kind = request.kind
    repairs = kind in {RunKind.REPAIR, RunKind.PLAN_REPAIR}
    wrong = (
        (request.missing is not None and not repairs, "missing"),
        (request.force and not repairs, "force"),
        (request.match_by is not None and kind is not RunKind.PLAN_JOIN, "match_by"),
        (request.event_ids is not None and kind is not RunKind.DROP_DELETES, "event_ids"),
        ((request.plan_of is None) is not (kind.planned_by is None), "plan_of"),
        (bool(request.entity_type) is (kind is RunKind.DROP_DELETES), "entity_type"),
        (request.restart and (kind.planned_by is not None or kind is RunKind.PLAN_JOIN), "restart"),
    )
    for is_wrong, name in wrong:
        if is_wrong:
            raise InvalidInput(f"{name} does not fit a run of the kind {kind}")


async def _of_plan(db: AsyncConnection, request: RunRequest) -> RunRequest:
    """Return the request about the plan's own connection and entity type."""
    planned = await read(db, request.plan_of or "")
    if planned.kind != request.kind.planned_by or not planned.has_plan:
        raise StateConflict(f"the run {planned.id} has no plan for {request.kind}")
    about = (request.source, request.entity_type)
    if about != (planned.source_system, planned.entity_type):
        raise InvalidInput(
            f"the plan is for {planned.source_system} {planned.entity_type}: name both"
        )
    return request
