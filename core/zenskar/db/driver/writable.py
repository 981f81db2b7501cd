"""A check that the database accepts writes."""

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import sqlstate, transaction
from zenskar.errors import Unavailable

# PostgreSQL writes half a megabyte that does not fit into memory to a temporary file beside the
# tables, and removes the file at once: no table grows, and nothing is logged or synced.
_LITTLE_MEMORY = text("SET LOCAL work_mem = '64kB'")
_PROBE = text("""
    SELECT current_setting('transaction_read_only') = 'on' AS read_only,
           (SELECT count(*) FROM generate_series(1, 20000)) AS spilled
""")
_TEMPORARY_FILES_LIMITED = "53400"


async def check_writable(engine: AsyncEngine) -> None:
    """Raise `Unavailable` when the disk is full, the database read-only or without an answer."""
    async with transaction(engine) as db:
        await db.execute(_LITTLE_MEMORY)
        try:
            found = (await db.execute(_PROBE)).one()
        except DBAPIError as error:
            if sqlstate(error) == _TEMPORARY_FILES_LIMITED:
                return
            raise
    if found.read_only:
        raise Unavailable("the database is read-only")
