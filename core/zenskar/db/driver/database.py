"""Open the database that the settings name, or the embedded one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import create_engine
from zenskar.settings import Settings


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[str]:
    """Yield the URL of the database, starting the embedded one when none is configured."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    # The embedded PostgreSQL is an optional extra that not every platform has.
    from zenskar.db.driver.embedded import embedded_postgres

    async with embedded_postgres(settings.data_dir) as url:
        yield url


def with_database(settings: Settings, url: str) -> Settings:
    """Return the settings with the URL of a running database."""
    return settings.model_copy(update={"database_url": SecretStr(url)})


@asynccontextmanager
async def open_engine(
    settings: Settings, application: str = "zenskar"
) -> AsyncIterator[AsyncEngine]:
    """Yield an engine for commands that need the database only."""
    async with open_database(settings) as url, engine_at(settings, url, application) as engine:
        yield engine


@asynccontextmanager
async def engine_at(
    settings: Settings,
    url: str,
    application: str,
    waited: Callable[[float], None] | None = None,
) -> AsyncIterator[AsyncEngine]:
    """Yield an engine on a running database; `waited` gets the seconds of each wait for it."""
    engine = create_engine(
        url, pool_size=settings.database_pool_size, application=application, waited=waited
    )
    try:
        yield engine
    finally:
        await engine.dispose()
