"""Bring the schema up to date with Alembic."""

from collections.abc import Callable

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from zenskar import resources
from zenskar.db.engine import transaction
from zenskar.db.engines import AsyncEngine

_LOCK = 7_236_501_884_377
"""Advisory lock: two processes that start at once migrate one after the other."""


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Migrate up."""
    await _run(engine, lambda config: command.upgrade(config, revision))


async def downgrade(engine: AsyncEngine, revision: str = "-1") -> None:
    """Migrate down, one step unless told otherwise."""
    await _run(engine, lambda config: command.downgrade(config, revision))


async def _run(engine: AsyncEngine, work: Callable[[Config], None]) -> None:
    def migrate(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        config = _config()
        config.attributes["connection"] = connection
        work(config)

    async with transaction(engine) as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.migrations_dir()))
    return config
