"""Measure the space that tables take on the disk of the database."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SIZES = text("""
    SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes
    FROM pg_class AS c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
""")


async def table_sizes(db: AsyncConnection) -> dict[str, int]:
    """Return the bytes of each table with its indexes."""
    return {row.name: row.bytes for row in await db.execute(_SIZES)}
