"""The schema that the migrations make."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar import resources
from zenskar.db import migrate, revision
from zenskar.db.tables import metadata


async def test_the_migrations_make_the_tables_that_the_code_knows(engine: AsyncEngine) -> None:
    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(compare) == []


async def test_down_and_up_again(engine: AsyncEngine) -> None:
    assert (await revision.status(engine)).up_to_date
    await migrate.downgrade(engine, "base")
    assert (await revision.status(engine)).current is None
    await migrate.upgrade(engine)
    assert (await revision.status(engine)).up_to_date


def test_the_names_of_the_files_tell_the_revisions() -> None:
    scripts = ScriptDirectory(str(resources.migrations_dir()))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revision.known() == list(reversed(revisions))
