"""`zenskar dev`."""

from pathlib import Path
from typing import Annotated

import typer

from zenskar.api import open_files
from zenskar.cli import session
from zenskar.cli.process import run_server
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines
from zenskar.errors import ConfigurationError
from zenskar.networks import is_loopback

_LOOPBACK = "127.0.0.1"
_DEFAULTS = {"ZENSKAR_LOG_FORMAT": "console", "ZENSKAR_SHUTDOWN_GRACE_SECONDS": "5"}


def dev(
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of the API.", show_default="ZENSKAR_PORT or 8000"
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of all data.", show_default="ZENSKAR_DATA_DIR or .zenskar"),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove the data of that folder first.")
    ] = False,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="Start the sandbox of this connection too; may be repeated."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run everything in one process: API, worker, PostgreSQL, and sandboxes.

    The database is embedded unless ZENSKAR_DATABASE_URL is set. A connection without credentials
    uses the sandbox of its plugin, if the plugin has a sandbox. Some sandboxes start only for
    --with. The API is reachable from this
    machine only, and needs no key.
    """
    settings, environment = session.read_settings(
        _DEFAULTS, port=port, data_dir=data_dir, host=_host(), auth="off"
    )
    if fresh and settings.database_url is not None:
        raise ConfigurationError(
            "--fresh removes an embedded database, but ZENSKAR_DATABASE_URL names another one"
        )
    session.configure_logs(settings, environment, serving=True)
    open_files.raise_limit()
    from zenskar.cli.dev.dev_server import DevServer
    from zenskar.cli.dev.ready import Ready

    def announce(ready: Ready) -> None:
        if output is Output.JSON:
            print_json(ready.to_json())
        else:
            print_lines(*ready.to_text().split("\n"))

    server = DevServer(settings, environment, requested=with_ or ())
    run_server(server.run(announce, fresh=fresh))


def _host() -> str:
    from zenskar.settings import environment

    host = environment().get("ZENSKAR_HOST", "")
    return host if is_loopback(host) else _LOOPBACK
