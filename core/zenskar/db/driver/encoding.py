"""A check that the database stores every character."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import transaction
from zenskar.errors import ConfigurationError

_ENCODING = text("SHOW server_encoding")


async def check_encoding(engine: AsyncEngine) -> None:
    """Raise `ConfigurationError` unless the encoding of the database is UTF8.

    Another encoding refuses the names of some customers, or counts bytes as characters.
    https://www.postgresql.org/docs/15/multibyte.html
    """
    async with transaction(engine) as db:
        encoding = await db.scalar(_ENCODING)
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database has the encoding {encoding}, and zenskar needs UTF8: create it with "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
