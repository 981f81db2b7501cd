"""Commands on a whole external system: the worker beside them, their progress, their end."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from zenskar.cli import session
from zenskar.cli.error_output import print_error
from zenskar.cli.process import in_background, stop_signals
from zenskar.cli.render.output import print_lines, print_table

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from zenskar.ops.factory import OperationFactory
    from zenskar.runtime import Runtime
    from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress

T = TypeVar("T")
LEFT, STOPPED = 3, 1
"""Exit codes: work for a person is left, or the run has stopped."""
_INTERRUPTED = 130
_ROLES = ("relay", "inbound", "outbound")
_PHASES = {
    "list": "reading the list",
    "unseen": "fetching objects that were not in the list",
    "suspects": "checking differences again",
    "records": "searching records without an object",
    "end": "done",
    "apply": "applying the plan",
    "deletes": "repeating deletes",
}
_NOT_READ = {"kind": "NOT READ", "external_id": "EXTERNAL", "record_id": "RECORD", "why": "WHY"}


class BulkResult(Protocol):
    """The result of a run over a whole external system; `problem` says why the run stopped."""

    @property
    def source(self) -> str:
        """The connection."""

    @property
    def entity_type(self) -> str:
        """The entity type."""

    @property
    def problem(self) -> str | None:
        """The reason of the stop, None when the run is complete."""


Source = Annotated[str, typer.Argument(help="The connection, see `zenskar connections list`.")]
Entity = Annotated[
    str | None, typer.Argument(help="Only this entity, such as customer; all by default.")
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Start over instead of resuming a stopped run.")
]


def run_each(
    source: str,
    entity: str | None,
    operation: "Callable[[OperationFactory, str, OnProgress], Awaitable[T]]",
    *,
    with_worker: bool,
    variables: Mapping[str, str] | None = None,
) -> list[T]:
    """Run an operation for the named entity, or for each entity that the connection syncs.

    The `variables` replace those of the environment.
    """

    async def run(factory: "OperationFactory") -> list[T]:
        names = [entity] if entity else factory.entities(source)
        return await run_with_progress(factory, names, operation)

    return with_factory(run, with_worker=with_worker, variables=variables)


def with_factory(
    operation: "Callable[[OperationFactory], Coroutine[Any, Any, T]]",
    *,
    with_worker: bool = False,
    variables: Mapping[str, str] | None = None,
) -> T:
    """Run an operation on a whole external system, `with_worker` beside a worker in this process.

    The `variables` replace those of the environment.
    Raises `ConfigurationError` when there is no database, and `typer.Exit` after a signal.
    """
    settings, environment = session.read_settings()
    environment = {**environment, **(variables or {})}
    session.configure_logs(settings, environment, serving=False)
    session.require_database(settings)

    async def run() -> T:
        from zenskar.db.schema.present import require_schema
        from zenskar.runtime import open_runtime

        async with (
            stop_signals() as stopping,
            open_runtime(settings, environment, prepare=require_schema) as runtime,
            _worker(runtime, stopping, with_worker=with_worker),
        ):
            return await _unless_stopped(stopping, operation(runtime.operations()))

    return asyncio.run(run())


async def run_with_progress(
    factory: "OperationFactory",
    names: Iterable[str],
    operation: "Callable[[OperationFactory, str, OnProgress], Awaitable[T]]",
) -> list[T]:
    """Run an operation for each entity, with a progress bar."""
    results = []
    for name in names:
        with progress_bar() as on_progress:
            results.append(await operation(factory, name, on_progress))
    return results


@asynccontextmanager
async def _worker(
    runtime: "Runtime", stopping: asyncio.Event, *, with_worker: bool
) -> AsyncIterator[None]:
    """Run a worker here, so that the command needs no other; running workers share the load."""
    async with AsyncExitStack() as stack:
        if with_worker:
            worker = runtime.worker(_ROLES).run(stopping)
            await stack.enter_async_context(in_background(worker, stopping))
        yield


async def _unless_stopped(stopping: asyncio.Event, operation: Coroutine[Any, Any, T]) -> T:
    """Await an operation; cancel it after a signal, with its checkpoint stored."""
    task, stop = asyncio.create_task(operation), asyncio.create_task(stopping.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print_error("stopped; the same command resumes from here")
    raise typer.Exit(_INTERRUPTED)


@contextmanager
def progress_bar() -> "Iterator[OnProgress]":
    """Show the progress on standard error when it is a terminal."""
    from rich import progress as rich_progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        _rate_column(),
        rich_progress.TimeRemainingColumn(),
    )
    hidden = not console.is_terminal
    with rich_progress.Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=None)

        def show(progress: "ReconcileProgress") -> None:
            found = f", {progress.found} found" if progress.found else ""
            text = f"{_PHASES[progress.phase]}{found}"
            bar.update(task, description=text, completed=progress.done, total=progress.total)

        yield show


def _rate_column() -> "ProgressColumn":
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        """The number of objects a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s")

    return Rate()


def show_outside(count: int) -> None:
    """Print the number of records and objects that the filter excludes, if there are any."""
    if count:
        print_lines(f"{count} outside of the filter, which are no differences.")


def show_not_read(rows: "Sequence[dict[str, Any]]") -> None:
    """Print the objects that could not be read."""
    if rows:
        print_lines("")
        print_table(_NOT_READ, rows)


def fail_if_stopped(results: "Sequence[BulkResult]") -> None:
    """Raise `typer.Exit` when a run has stopped before its end."""
    stopped = [result for result in results if result.problem]
    for result in stopped:
        print_error(
            f"{result.source} {result.entity_type} is not complete: {result.problem}; "
            "the same command resumes from here"
        )
    if stopped:
        raise typer.Exit(STOPPED)
