"""Changes of the schema while everything runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from unittest import mock

from tests.drill.fault import Fault
from tests.drill.scene import Scene
from tests.kafka.rest import database
from zenskar import resources
from zenskar.db.schema import migrate, revision

_BACKUP_SECONDS = 20.0
_TABLES = ("customers", "sync_events", "outbox", "external_mappings")
_NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{present}"


def upgrade():
    op.create_index("customers_phone", "customers", ["phone"])
    for table in {tables}:
        op.add_column(table, sa.Column("of_the_next_release", sa.Text()))


def downgrade():
    op.drop_index("customers_phone", table_name="customers")
    for table in {tables}:
        op.drop_column(table, "of_the_next_release")
"""


async def migrate_beside_backup(scene: Scene) -> None:
    """Migrate to the schema of a next release and back, each time beside a backup."""
    with _next_release(scene.topology.folder):
        for change in (migrate.upgrade, migrate.downgrade):
            async with _backup(scene):
                running = asyncio.create_task(change(scene.topology.database_url))
                await asyncio.sleep(_BACKUP_SECONDS)
                assert not running.done(), "the migration did not wait for the backup"
            await running


@asynccontextmanager
async def _backup(scene: Scene) -> AsyncIterator[None]:
    """Hold a snapshot and the locks of pg_dump."""
    async with (
        database(scene.topology) as connection,
        connection.transaction(isolation="repeatable_read"),
    ):
        for table in _TABLES:
            await connection.fetchval(f"SELECT count(*) FROM {table}")
        yield


@contextmanager
def _next_release(folder: Path) -> Iterator[None]:
    """Add a migration of the busiest tables."""
    present, copy = resources.migrations_dir(), folder / "migrations"
    (copy / "versions").mkdir(parents=True)
    (copy / "env.py").write_text((present / "env.py").read_text())
    for file in (present / "versions").glob("*.py"):
        (copy / "versions" / file.name).write_text(file.read_text())
    added = _NEXT.format(present=revision.known()[-1], tables=_TABLES)
    (copy / "versions" / "9000_next_release.py").write_text(added)
    with mock.patch.object(resources, "migrations_dir", return_value=copy):
        yield


FAULTS = (Fault("migration beside a backup", migrate_beside_backup),)
