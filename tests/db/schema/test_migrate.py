"""The schema that the migrations make."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar import resources
from zenskar.db.schema import migrate, revision
from zenskar.db.schema.all_tables import metadata


async def test_the_migrations_create_the_tables_of_the_code(engine: AsyncEngine) -> None:
    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with engine.connect() as db:
        assert await db.run_sync(compare) == []


async def test_down_and_up_again(engine: AsyncEngine, database_url: str) -> None:
    assert (await revision.status(engine)).up_to_date
    await migrate.downgrade(database_url, "base")
    assert (await revision.status(engine)).current is None
    await migrate.upgrade(database_url)
    assert (await revision.status(engine)).up_to_date


async def test_the_pages_of_updated_tables_have_space(engine: AsyncEngine) -> None:
    named = {
        name: table.dialect_options["postgresql"]["with"] for name, table in metadata.tables.items()
    }
    wanted = {name: [f"fillfactor={o['fillfactor']}"] for name, o in named.items() if o}
    async with engine.connect() as db:
        found = await db.execute(
            text("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL")
        )
    assert {row.relname: row.reloptions for row in found if row.relname in named} == wanted


async def test_messages_are_compressed_with_lz4_if_the_server_supports_it(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as db:
        options = await db.scalar(
            text("SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'")
        )
        found = await db.execute(
            text(
                "SELECT attcompression FROM pg_attribute WHERE attname IN ('payload', 'envelope')"
                " AND attrelid IN ('sync_events'::regclass, 'outbox'::regclass)"
            )
        )
    assert {row.attcompression for row in found} == {b"l" if "lz4" in options else b"\0"}


def test_the_file_names_begin_with_the_revisions() -> None:
    scripts = ScriptDirectory(str(resources.migrations_dir()))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revision.known() == list(reversed(revisions))
