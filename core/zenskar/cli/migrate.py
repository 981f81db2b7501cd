"""`zenskar migrate`."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenskar.cli import session
from zenskar.cli.output import Output, OutputOption, show_json
from zenskar.errors import ConfigurationError

if TYPE_CHECKING:
    from zenskar.settings import Settings


class Direction(StrEnum):
    """What to do with the schema."""

    UP = "up"
    DOWN = "down"
    STATUS = "status"


def migrate(
    direction: Annotated[
        Direction, typer.Argument(help="up to the newest, down by one step, or only the status.")
    ] = Direction.UP,
    output: OutputOption = Output.TABLE,
) -> None:
    """Bring the database's schema up to date. `down` can lose data."""
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    if direction is not Direction.UP:
        session.require_database(settings)
    status = asyncio.run(_migrate(settings, direction))
    if output is Output.JSON:
        show_json(status)
    else:
        typer.echo(_sentence(status))


async def _migrate(settings: "Settings", direction: Direction) -> dict[str, Any]:
    from alembic.util import CommandError

    from zenskar.db import migrate as schema
    from zenskar.db import revision
    from zenskar.runtime import open_engine

    async with open_engine(settings) as engine:
        await session.reachable(engine)
        try:
            if direction is Direction.UP:
                await schema.upgrade(engine)
            elif direction is Direction.DOWN:
                await schema.downgrade(engine)
        except CommandError as error:
            raise ConfigurationError(f"the schema cannot be migrated: {error}") from error
        status = await revision.status(engine)
    return {"current": status.current, "head": status.head, "up_to_date": status.up_to_date}


def _sentence(status: dict[str, Any]) -> str:
    current = f"at {status['current']}" if status["current"] else "empty"
    if status["up_to_date"]:
        return f"The schema is {current}, which is the newest."
    return f"The schema is {current}; the newest is {status['head']}: run `zenskar migrate`."
