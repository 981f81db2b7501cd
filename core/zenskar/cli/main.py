"""The `zenskar` command."""

import sys
import warnings
from importlib.metadata import version
from typing import Annotated

import typer

from zenskar.cli import (
    connections,
    dev,
    dlq,
    doctor,
    events,
    explain,
    keys,
    migrate,
    plugins,
    reconcile,
    serve,
)
from zenskar.cli.failures import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Two-way sync between a customer catalog and external systems. "
    "`zenskar dev` runs everything on this machine.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"zenskar {version('zenskar')}")
        raise typer.Exit


@app.callback()
def zenskar(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


app.command("dev")(dev.dev)
app.command("api")(serve.api)
app.command("worker")(serve.worker)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("reconcile")(reconcile.reconcile)
app.command("backfill")(reconcile.backfill)
app.add_typer(events.app, name="events")
app.add_typer(dlq.app, name="dlq")
app.add_typer(explain.app, name="explain")
app.add_typer(connections.app, name="connections")
app.add_typer(plugins.app, name="plugins")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command line."""
    if not sys.warnoptions:
        # Libraries warn whoever develops with them; here that would be noise between the lines.
        warnings.simplefilter("ignore")
    app()


if __name__ == "__main__":
    main()
