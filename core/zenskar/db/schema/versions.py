"""Read the versions of the database server and of the schema."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_VERSIONS = text("""
    SELECT current_setting('server_version') AS server, version_num AS schema FROM alembic_version
""")


class DatabaseVersions(NamedTuple):
    """The version of PostgreSQL, and the last migration of the schema."""

    server: str
    schema: str


async def versions(db: AsyncConnection) -> DatabaseVersions:
    """Return the versions of a migrated database."""
    row = (await db.execute(_VERSIONS)).one()
    return DatabaseVersions(row.server, row.schema)
