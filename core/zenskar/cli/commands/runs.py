"""`zenskar runs`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.render.event_list import Limit
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor
from zenskar.cli.time_options import Since, Until, moment_of
from zenskar.model.operator_run import RunState

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from zenskar.db.operators.runs import OperatorRun

app = typer.Typer(no_args_is_help=True, help="Runs in the background, requested over HTTP.")
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the run.")]
_COLUMNS = {
    "id": "ID",
    "kind": "KIND",
    "source_system": "CONNECTION",
    "entity_type": "ENTITY",
    "state": "STATE",
    "progress": "PROGRESS",
    "by": "BY",
    "created_at": "REQUESTED",
    "problem": "PROBLEM",
}
_VALUES = {"name": "NAME", "value": "VALUE"}


@app.command("list")
def show_many(  # noqa: PLR0913, PLR0917 - one for each option
    source: Annotated[str | None, typer.Option(help="Only of this connection.")] = None,
    state: Annotated[RunState | None, typer.Option(help="Only with this state.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Annotated[
        str | None, typer.Option(help="Only runs older than the run with this id.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the runs, newest first, with their progress."""
    from zenskar.db.driver.engine import in_transaction
    from zenskar.db.operators.runs import RunFilter
    from zenskar.ops.runs import run_requests

    wanted = RunFilter(source, state=state, since=moment_of(since), until=moment_of(until))
    older = session.parse_id(before) if before else None

    async def read(engine: "AsyncEngine") -> list[dict[str, Any]]:
        page = await in_transaction(
            engine,
            lambda c: run_requests.page(c, wanted, limit=limit, before=older),
        )
        return [asdict(run) for run in page.runs]

    rows = session.run_with_engine(read)
    if output is Output.JSON:
        print_json({"data": rows})
    elif rows:
        print_table(_COLUMNS, [row | {"progress": _progress(row["progress"])} for row in rows])
    else:
        print_lines("There is no such run.")


@app.command("show")
def show_one(
    run_id: Id,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the plan of the run, as JSON.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a run: its request, its progress and its result."""
    from zenskar.db.driver.engine import in_transaction
    from zenskar.ops.runs import run_requests

    wanted = session.parse_id(run_id)
    if plan:
        print_json(
            session.run_with_engine(
                lambda engine: in_transaction(engine, lambda c: run_requests.read_plan(c, wanted))
            )
        )
        return
    _show(
        session.run_with_engine(
            lambda engine: in_transaction(engine, lambda c: run_requests.read(c, wanted))
        ),
        output,
    )


@app.command("stop")
def stop(run_id: Id, reason: ReasonOption = None, output: OutputOption = Output.TABLE) -> None:
    """Stop a run within seconds; the same request resumes it within a day."""
    from zenskar.db.driver.engine import in_transaction
    from zenskar.ops.runs import run_requests

    wanted, by = session.parse_id(run_id), current_actor(reason)
    _show(
        session.run_with_engine(
            lambda engine: in_transaction(engine, lambda c: run_requests.stop(c, wanted, by))
        ),
        output,
    )


def _show(run: "OperatorRun", output: Output) -> None:
    row = asdict(run)
    if output is Output.JSON:
        print_json(row)
        return
    shown = row | {"progress": _progress(row["progress"])} | _flat(row["result"])
    del shown["result"]
    print_table(_VALUES, [{"name": name, "value": value} for name, value in shown.items()])


def _progress(progress: Mapping[str, Any]) -> str | None:
    if "phase" not in progress:
        return None
    total = f" of {progress['total']}" if progress.get("total") is not None else ""
    return f"{progress['phase']}: {progress['done']}{total}, {progress['found']} found"


def _flat(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a result; the JSON output has its lists too."""
    return {
        f"result {name}": value for name, value in result.items() if not isinstance(value, list)
    }
