"""Compare and backfill: the runs on a connection, their progress, their results and plans."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.console.page import ROOT, Action, ActionField, ConsolePage, Done, Preview, Visit
from zenskar.db import reconcile_runs
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators.runs import OperatorRun, RunFilter
from zenskar.db.reconcile_runs import Comparison
from zenskar.errors import InvalidInput, NotFound
from zenskar.ids import is_id
from zenskar.model.missing import Missing
from zenskar.model.operator_run import RunKind, RunState
from zenskar.model.scope import Scope
from zenskar.ops.runs import run_requests
from zenskar.ops.runs.run_requests import RunPage, RunRequest

SECTION = "/runs"
_PAGE = 50
_FILTERS = ("source", "kind", "state", "since", "until")
_TITLES = {
    RunKind.COMPARE: ("Compare both sides?", "Compare"),
    RunKind.REPAIR: ("Compare and repair?", "Repair"),
    RunKind.PLAN_REPAIR: ("Plan a repair?", "Plan"),
    RunKind.BACKFILL: ("Import all objects?", "Import"),
    RunKind.PLAN_JOIN: ("Plan a join?", "Plan"),
    RunKind.APPLY_REPAIR: ("Apply this plan?", "Apply"),
    RunKind.APPLY_JOIN: ("Apply this plan?", "Apply"),
}
_STEPS = (
    "Exactly these steps are made. A step whose record or object has changed since the plan is "
    "skipped."
)
_TEXTS = {
    RunKind.COMPARE: "All records are compared with all objects. Nothing is changed.",
    RunKind.REPAIR: "All records are compared with all objects, and each difference is repaired at "
    "once. To see the repairs first, plan them.",
    RunKind.PLAN_REPAIR: "All differences are found, and their repairs are planned. Nothing is "
    "changed until you apply the plan.",
    RunKind.BACKFILL: "Every object becomes a record, or is merged with its record.",
    RunKind.PLAN_JOIN: "Objects and records that are the same are matched by the fields. Nothing "
    "is changed until you apply the plan.",
    RunKind.APPLY_REPAIR: _STEPS,
    RunKind.APPLY_JOIN: _STEPS,
}
_NUMBERS = MappingProxyType(
    {
        "invalid": "objects that could not be read",
        "outside": "outside of the filter",
        "under_way": "differences that workers remove",
    }
)
"""The names of numbers whose field says too little."""
_RESTARTS = (
    ("", "resume the run that stopped within the last day"),
    ("yes", "forget its checkpoint, and begin again"),
)
_MISSING = (
    ("", "leave the records whose object is missing"),
    (Missing.RECREATE.value, "create a new object for each"),
    (Missing.DELETE.value, "delete the records"),
)
_ON_ITS_PAGE = "a plan is applied on the page of its run"
_BRAKE = (
    ("", "stop before a repair of very many missing objects"),
    ("yes", "repair although very many objects are missing"),
)


async def read_all(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the list."""
    before, services = visit.before, visit.services
    wanted = visit.filter_as(RunFilter, _FILTERS, source="source_system")

    async def load(db: AsyncConnection) -> tuple[RunPage, list[Comparison]]:
        page = await run_requests.page(db, wanted, limit=_PAGE, before=before)
        return page, await reconcile_runs.results(db)

    page, comparisons = await in_transaction(services.engine, load)
    router = services.router
    return {
        "runs": page.runs,
        "comparisons": comparisons,
        "targets": [(s, e) for s in router.sources for e in router.owner(s).entities],
        **visit.shown_filters(_FILTERS),
        "kinds": [kind.value for kind in RunKind],
        "states": [state.value for state in RunState],
        **visit.other_pages(page.last_id),
    }


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of one run. Raises `NotFound`."""
    run = await _run(visit)
    result = dict(run.result)
    counts = {name: value for name, value in result.items() if isinstance(value, Mapping)}
    numbers = {n: v for n, v in result.items() if isinstance(v, int) and not isinstance(v, bool)}
    examples = {n: v for n, v in result.items() if isinstance(v, Sequence) and v and n != "problem"}
    applies = next((kind for kind in RunKind if kind.planned_by == run.kind), None)
    return {
        "run": run,
        "is_open": run.ended_at is None,
        "numbers": {_NUMBERS.get(name, name): value for name, value in numbers.items()},
        "steps": numbers.get("steps"),
        "counts": counts,
        "examples": {n: v for n, v in examples.items() if not isinstance(v, str)},
        "equal": _is_equal(result),
        "applies": bool(applies and run.has_plan and result.get("steps")),
        "percent": _percent(run),
    }


def _is_equal(result: Mapping[str, Any]) -> bool:
    """Return whether a complete comparison has read everything and found no difference."""
    read_all = result.get("complete") is True and not result.get("invalid")
    return read_all and not any(result.get("found", {"": 1}).values())


def _percent(run: OperatorRun) -> int | None:
    total = run.progress.get("total")
    return min(100, 100 * int(run.progress["done"]) // total) if total else None


async def _run(visit: Visit) -> OperatorRun:
    run_id = visit.part("run_id")
    if not is_id(run_id):
        raise NotFound("there is no run with this id")
    return await in_transaction(visit.services.engine, lambda c: run_requests.read(c, run_id))


def _kind(visit: Visit) -> RunKind:
    try:
        kind = RunKind(visit.part("kind"))
    except ValueError:
        raise NotFound("there is no such run") from None
    if kind not in _TITLES:
        raise NotFound("there is no such run")
    return kind


def _fields(kind: RunKind, *, brake: bool) -> list[ActionField]:
    """Return the options of a kind; the brake can be released by the scope `admin` alone."""
    fields = []
    if kind in {RunKind.REPAIR, RunKind.PLAN_REPAIR}:
        fields.append(ActionField("missing", "Missing objects", choices=_MISSING, required=False))
        if brake:
            fields.append(ActionField("force", "Brake", choices=_BRAKE, required=False))
    if kind is RunKind.PLAN_JOIN:
        fields.append(
            ActionField("match_by", "Fields to match by", "email", "Separated by commas.")
        )
    if kind in {RunKind.COMPARE, RunKind.REPAIR, RunKind.PLAN_REPAIR, RunKind.BACKFILL}:
        fields.append(ActionField("restart", "Checkpoint", choices=_RESTARTS, required=False))
    return fields


async def preview_request(visit: Visit) -> Preview:
    """Show what a run reads and changes.

    Raises `NotFound` for a kind of run that has a page of its own.
    """
    kind, source, entity = _kind(visit), visit.part("source"), visit.part("entity")
    if kind.planned_by is not None:
        raise NotFound(_ON_ITS_PAGE)
    run_requests.check_target(visit.services.router, RunRequest(kind, source, entity))
    title, confirm = _TITLES[kind]
    last = await in_transaction(visit.services.engine, reconcile_runs.results)
    known = [each for each in last if (each.source, each.entity_type) == (source, entity)]
    return Preview(
        title,
        _TEXTS[kind],
        confirm,
        f"{ROOT}{SECTION}",
        counts=[
            ("Connection", source),
            ("Entity type", entity),
            *(("Differences, last compare", f"{sum(e.remaining.values()):,}") for e in known),
        ],
        fields=_fields(kind, brake=visit.operator.reveals),
        dangerous=kind is RunKind.REPAIR,
        refusal=_refusal(visit, kind),
    )


async def request(visit: Visit) -> Done:
    """Request the run.

    Raises `NotFound` for a kind with a page of its own, `InvalidInput` for a wrong choice.
    """
    form, kind = visit.form, _kind(visit)
    if kind.planned_by is not None:
        raise NotFound(_ON_ITS_PAGE)
    if refusal := _refusal(visit, kind):
        raise InvalidInput(refusal)
    fields = tuple(each.strip() for each in form.get("match_by", "").split(",") if each.strip())
    missing = form.get("missing", "")
    if missing not in {value for value, _ in _MISSING}:
        raise InvalidInput("missing: must be one of the choices")
    return await _requested(
        visit,
        RunRequest(
            kind,
            visit.part("source"),
            visit.part("entity"),
            missing=Missing(missing) if missing else None,
            force=form.get("force") == "yes",
            restart=form.get("restart") == "yes",
            match_by=(fields or None) if kind is RunKind.PLAN_JOIN else None,
        ),
    )


def _refusal(visit: Visit, kind: RunKind) -> str:
    allowed = not kind.changes or visit.operator.may(Scope.ADMIN)
    return "" if allowed else "This run changes data: it needs a key of the scope admin."


async def _planned(visit: Visit) -> tuple[OperatorRun, RunKind]:
    """Return the run with a plan, and the kind of the run that applies it. Raises `NotFound`."""
    planned = await _run(visit)
    kind = next((kind for kind in RunKind if kind.planned_by == planned.kind), None)
    if kind is None or not planned.has_plan:
        raise NotFound("this run has no plan")
    return planned, kind


async def preview_apply(visit: Visit) -> Preview:
    """Show the steps of the plan."""
    planned, kind = await _planned(visit)
    title, confirm = _TITLES[kind]
    counts = planned.result.get("counts", {})
    return Preview(
        title,
        _TEXTS[kind],
        confirm,
        f"{ROOT}{SECTION}/{planned.id}",
        counts=[(name.replace("_", " "), f"{count:,}") for name, count in counts.items() if count],
        dangerous=True,
        refusal="" if planned.result.get("steps") else "The plan has no steps.",
    )


async def apply(visit: Visit) -> Done:
    """Request the run that applies the plan."""
    planned, kind = await _planned(visit)
    request = RunRequest(kind, planned.source_system, planned.entity_type, plan_of=planned.id)
    return await _requested(visit, request)


async def _requested(visit: Visit, request: RunRequest) -> Done:
    by = visit.actor
    run_requests.check_target(visit.services.router, request)
    run = await in_transaction(
        visit.services.engine, lambda c: run_requests.request_run(c, request, by)
    )
    return Done("The run is requested.", f"{ROOT}{SECTION}/{run.id}")


async def preview_stop(visit: Visit) -> Preview:
    """Show the run that is stopped."""
    run = await _run(visit)
    return Preview(
        "Stop this run?",
        "It stops within seconds. What is done stays done, and the same run resumes from here "
        "within a day.",
        "Stop",
        f"{ROOT}{SECTION}/{run.id}",
        counts=[("Run", run.kind.replace("_", " ")), ("Connection", run.source_system)],
        refusal="" if run.ended_at is None else f"The run is {run.state} already.",
    )


async def stop(visit: Visit) -> Done:
    """Request the stop."""
    run, by = await _run(visit), visit.actor
    stopped = await in_transaction(
        visit.services.engine, lambda c: run_requests.stop(c, run.id, by)
    )
    return Done(f"The run is {stopped.state}.", f"{ROOT}{SECTION}/{run.id}")


LIST = ConsolePage(
    SECTION, "runs.html", read_all, menu="Compare and backfill", icon="compare", live=True
)
ONE = ConsolePage(f"{SECTION}/{{run_id}}", "run.html", read, section=SECTION, live=True)
PAGES = (LIST, ONE)
ACTIONS = (
    Action(f"{SECTION}/new/{{kind}}/{{source}}/{{entity}}", preview_request, request, SECTION),
    Action(f"{SECTION}/{{run_id}}/apply", preview_apply, apply, SECTION, Scope.ADMIN),
    Action(f"{SECTION}/{{run_id}}/stop", preview_stop, stop, SECTION),
)
