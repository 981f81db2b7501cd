"""`zenskar migrate`."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines
from zenskar.errors import ConfigurationError

if TYPE_CHECKING:
    from zenskar.settings import Settings


class MigrationDirection(StrEnum):
    """The action on the schema."""

    UP = "up"
    DOWN = "down"
    STATUS = "status"


def migrate(
    direction: Annotated[
        MigrationDirection,
        typer.Argument(help="up to the newest, down by one step, or only the status."),
    ] = MigrationDirection.UP,
    statement_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that a statement may take; 0: no limit.")
    ] = 10.0,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to retry while transactions lock the tables.")
    ] = 3600.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Migrate the database's schema beside a running release. `down` can lose data.

    Writers never wait longer than half a second for the migration. While a long transaction, such
    as a backup, holds a lock, the migration retries and reports the lock.
    """
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    if direction is not MigrationDirection.UP:
        session.require_database(settings)
    status = asyncio.run(_migrate(settings, direction, statement_timeout, patience))
    if output is Output.JSON:
        print_json(status)
    else:
        print_lines(_sentence(status))


async def _migrate(
    settings: "Settings", direction: MigrationDirection, statement_timeout: float, patience: float
) -> dict[str, Any]:
    from alembic.util import CommandError

    from zenskar.db.driver.database import open_database, open_engine, with_database
    from zenskar.db.schema import migrate as schema
    from zenskar.db.schema import revision
    from zenskar.db.schema.online import Limits
    from zenskar.db.schema.present import require_reachable

    limits = Limits(statement_seconds=statement_timeout, patience_seconds=patience)
    async with (
        open_database(settings) as url,
        open_engine(with_database(settings, url)) as engine,
    ):
        await require_reachable(engine)
        try:
            if direction is MigrationDirection.UP:
                await schema.upgrade(url, limits=limits)
            elif direction is MigrationDirection.DOWN:
                await schema.downgrade(url, limits=limits)
        except CommandError as error:
            raise ConfigurationError(f"the schema cannot be migrated: {error}") from error
        status = await revision.status(engine)
    return status.to_json()


def _sentence(status: dict[str, Any]) -> str:
    current = f"at {status['current']}" if status["current"] else "empty"
    if status["up_to_date"]:
        return f"The schema is {current}, which is the newest."
    return f"The schema is {current}; the newest is {status['head']}: run `zenskar migrate`."
