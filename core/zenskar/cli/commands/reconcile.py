"""`zenskar reconcile` and `zenskar backfill`."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from zenskar.cli import session
from zenskar.cli.error_output import print_error
from zenskar.cli.process import in_background, stop_signals
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.errors import InvalidInput
from zenskar.model.missing import Missing

if TYPE_CHECKING:
    from zenskar.ops.factory import OperationFactory
    from zenskar.runtime import Runtime
    from zenskar.sync.reconcile.backfill import BackfillCount
    from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, Report

T = TypeVar("T")
_DRIFT, _STOPPED, _INTERRUPTED = 3, 1, 130
_ROLES = ("relay", "inbound", "outbound")
_PHASES = {
    "list": "reading the list",
    "unseen": "asking for what was not in it",
    "suspects": "looking again",
    "records": "looking for records without an object",
    "end": "done",
}
_EXAMPLES = {
    "kind": "DIFFERENCE",
    "external_id": "EXTERNAL",
    "record_id": "RECORD",
    "fields": "FIELDS",
    "repaired": "REPAIRED",
}
_NOT_READ = {"kind": "NOT READ", "external_id": "EXTERNAL", "record_id": "RECORD", "why": "WHY"}

Source = Annotated[str, typer.Argument(help="The connection, see `zenskar connections list`.")]
Entity = Annotated[
    str | None, typer.Argument(help="Only this entity, such as customer; all when left out.")
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Begin again, rather than where a run stopped.")
]


def reconcile(  # noqa: PLR0913, PLR0917 - one for each option
    source: Source,
    entity: Entity = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    missing: Annotated[
        Missing | None,
        typer.Option(help="With --repair: what to do about records whose object is missing."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Repair although very many objects are missing.")
    ] = False,
    restart: Restart = False,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds that a change may take to arrive by itself.")
    ] = 3.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare all records with an external system, and say where they differ.

    Exits with 3 when there are differences, or with --repair when some remain, and when something
    could not be read. A run that was stopped goes on where it was, for a day.
    """

    if missing is not None and not repair:
        raise InvalidInput("--missing says how to repair: give --repair too")

    async def work(factory: "OperationFactory", name: str, on_progress: "OnProgress") -> "Report":
        reconciler = factory.reconciler(settle_seconds=settle)
        return await reconciler.run(
            source,
            name,
            repair=repair,
            missing=missing,
            force=force,
            restart=restart,
            on_progress=on_progress,
        )

    reports = _run(source, entity, work, works=repair)
    if output is Output.JSON:
        print_json({"data": [report.to_json() for report in reports]})
    else:
        for report in reports:
            _show(report)
    _fail_if_stopped(reports)
    if not all(report.clean for report in reports):
        raise typer.Exit(_DRIFT)


def backfill(
    source: Source,
    entity: Entity = None,
    restart: Restart = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take in everything that an external system has and that is not known as it is.

    A run that was stopped goes on where it was, for a day.
    """

    async def work(
        factory: "OperationFactory", name: str, on_progress: "OnProgress"
    ) -> "BackfillCount":
        return await factory.backfiller().run(
            source, name, restart=restart, on_progress=on_progress
        )

    intakes = _run(source, entity, work, works=True)
    if output is Output.JSON:
        print_json({"data": [intake.to_json() for intake in intakes]})
    else:
        for intake in intakes:
            print_lines(
                f"{intake.source} {intake.entity_type}: {intake.objects} objects, "
                f"{intake.published} taken in, {intake.dead} failed, {intake.invalid} not valid."
            )
            _show_not_read(intake.not_read)
    _fail_if_stopped(intakes)
    if any(intake.dead or intake.invalid for intake in intakes):
        raise typer.Exit(_STOPPED)


def _run(
    source: str,
    entity: str | None,
    work: "Callable[[OperationFactory, str, OnProgress], Awaitable[T]]",
    *,
    works: bool,
) -> list[T]:
    async def all_of(factory: "OperationFactory") -> list[T]:
        names = [entity] if entity else factory.entities(source)
        return await _all(factory, names, work)

    return with_factory(all_of, works=works)


def with_factory(
    work: "Callable[[OperationFactory], Coroutine[Any, Any, T]]", *, works: bool = False
) -> T:
    """Do something with all of an external system, with a worker of its own if it `works`."""
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    session.require_database(settings)

    async def run() -> T:
        from zenskar.runtime import open_runtime

        async with (
            stop_signals() as stopping,
            open_runtime(settings, environment, prepare=session.require_schema) as runtime,
            _worker(runtime, stopping, works=works),
        ):
            return await _unless_stopped(stopping, work(runtime.operations()))

    return asyncio.run(run())


async def _all(
    factory: "OperationFactory",
    names: Iterable[str],
    work: "Callable[[OperationFactory, str, OnProgress], Awaitable[T]]",
) -> list[T]:
    done = []
    for name in names:
        with _progress_bar() as on_progress:
            done.append(await work(factory, name, on_progress))
    return done


@asynccontextmanager
async def _worker(
    runtime: "Runtime", stopping: asyncio.Event, *, works: bool
) -> AsyncIterator[None]:
    """Work here, so that it needs no other worker; those that run take their share."""
    async with AsyncExitStack() as stack:
        if works:
            worker = runtime.worker(_ROLES).run(stopping)
            await stack.enter_async_context(in_background(worker, stopping))
        yield


async def _unless_stopped(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Let a signal end the work; its checkpoint stays."""
    task, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print_error("stopped; the same command goes on from here")
    raise typer.Exit(_INTERRUPTED)


@contextmanager
def _progress_bar() -> "Iterator[OnProgress]":
    """Show on standard error how far it is; nothing where nobody looks."""
    from rich import progress as rich_progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
    )
    hidden = not console.is_terminal
    with rich_progress.Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=None)

        def show(progress: "ReconcileProgress") -> None:
            text = f"{_PHASES[progress.phase]}, {progress.found} found"
            bar.update(task, description=text, completed=progress.done, total=progress.total)

        yield show


def _show(report: "Report") -> None:
    found, left = sum(report.found.values()), report.drifts
    print_lines(
        f"{report.source} {report.entity_type}: {report.objects} objects, {found} differences, "
        f"{left} left, {report.under_way} under way, {report.invalid} not valid."
    )
    if report.found:
        kinds = [
            {"kind": kind, "found": count, "left": report.remaining.get(kind, 0)}
            for kind, count in sorted(report.found.items())
        ]
        print_table({"kind": "DIFFERENCE", "found": "FOUND", "left": "LEFT"}, kinds)
        print_lines("", "Examples")
    if report.examples:
        print_table(_EXAMPLES, report.to_json()["examples"])
    _show_not_read(report.to_json()["not_read"])


def _show_not_read(rows: "Sequence[dict[str, Any]]") -> None:
    if rows:
        print_lines("")
        print_table(_NOT_READ, rows)


def _fail_if_stopped(results: "list[Report] | list[BackfillCount]") -> None:
    stopped = [result for result in results if result.problem]
    for result in stopped:
        print_error(
            f"{result.source} {result.entity_type} is not complete: {result.problem}; "
            "the same command goes on from here"
        )
    if stopped:
        raise typer.Exit(_STOPPED)
