"""The command line: every command and its group."""

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zenskar.cli.commands import (
    audit,
    backfill,
    bus,
    connections,
    customers,
    dev,
    dlq,
    doctor,
    erase,
    events,
    explain,
    keys,
    mappings,
    migrate,
    plugins,
    reconcile,
    recover,
    runs,
    serve,
)
from zenskar.cli.error_output import exit_code_of
from zenskar.cli.render.output import print_lines


class Commands(TyperGroup):
    """The root of the commands, which reports a failure in one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - reported or raised again
            raise typer.Exit(exit_code_of(error, ctx.invoked_subcommand)) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Two-way sync between a customer catalog and external systems. "
    "`zenskar dev` runs everything on this machine.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_lines(f"zenskar {version('zenskar')}")
        raise typer.Exit


@app.callback()
def zenskar(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Define the options before a command."""


app.command("dev")(dev.dev)
app.command("api")(serve.api)
app.command("worker")(serve.worker)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("reconcile")(reconcile.reconcile)
app.command("backfill")(backfill.backfill)
app.command("recover")(recover.recover)
app.add_typer(events.app, name="events")
app.add_typer(dlq.app, name="dlq")
app.add_typer(explain.app, name="explain")
app.add_typer(erase.app, name="erase")
app.add_typer(connections.app, name="connections")
app.add_typer(bus.app, name="bus")
app.add_typer(customers.app, name="customers")
app.add_typer(mappings.app, name="mappings")
app.add_typer(plugins.app, name="plugins")
app.add_typer(keys.app, name="keys")
app.add_typer(runs.app, name="runs")
app.add_typer(audit.app, name="audit")
