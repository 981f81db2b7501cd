"""Refuse a database that does not answer, or whose schema is of another release."""

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.encoding import check_encoding
from zenskar.db.driver.engine import ping
from zenskar.db.schema import revision
from zenskar.errors import ConfigurationError, Unavailable


async def require_schema(engine: AsyncEngine) -> None:
    """Raise `ConfigurationError` unless the schema is up to date.

    A schema of a newer release is accepted: migrations keep the previous release working, so that
    it can start during and after the upgrade.
    """
    status = await revision.status(await require_reachable(engine))
    if status.up_to_date or status.current not in {None, *revision.known()}:
        return
    has = f"is at {status.current}" if status.current else "has no tables yet"
    raise ConfigurationError(
        f"the database {has}, and this zenskar needs {status.head}: run `zenskar migrate`"
    )


async def require_reachable(engine: AsyncEngine) -> AsyncEngine:
    """Return the engine when the database accepts a connection.

    Raises `Unavailable` when the database does not answer, and `ConfigurationError` when it
    refuses the connection or cannot store every text.
    """
    try:
        await ping(engine)
    except Unavailable as error:
        raise Unavailable(f"{error}; see ZENSKAR_DATABASE_URL") from error
    except asyncpg.PostgresError as error:
        raise ConfigurationError(f"the database refuses the connection: {error}") from error
    except DBAPIError as error:
        raise ConfigurationError(f"the database refuses the connection: {error.orig}") from error
    await check_encoding(engine)
    return engine
