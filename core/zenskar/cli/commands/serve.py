"""`zenskar api` and `zenskar worker`."""

from typing import Annotated

import typer

from zenskar.cli import servers
from zenskar.cli.render.output import Output, OutputOption, print_json


def api(output: OutputOption = Output.TABLE) -> None:
    """Serve the HTTP API and receive webhooks.

    Listens on ZENSKAR_HOST and ZENSKAR_PORT. After SIGTERM, running requests may finish within
    ZENSKAR_SHUTDOWN_GRACE_SECONDS.
    """
    servers.api(_announce(output))


def worker(
    roles: Annotated[
        str, typer.Option(help="Comma-separated. Every role may run in many processes.")
    ] = servers.ALL_ROLES,
    output: OutputOption = Output.TABLE,
) -> None:
    """Process the messages of the bus.

    Serves probes and metrics on ZENSKAR_HOST and ZENSKAR_WORKER_HEALTH_PORT. After SIGTERM, running
    calls may finish within ZENSKAR_SHUTDOWN_GRACE_SECONDS.
    """
    servers.worker(_announce(output), roles)


def _announce(output: Output) -> servers.Announce | None:
    if output is Output.JSON:
        return lambda what, address: print_json({"status": "ready", what: address})
    return None
