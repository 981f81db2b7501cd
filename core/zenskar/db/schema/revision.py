"""Which schema a database has, and which ones this release knows; Alembic is for changing it."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar import resources
from zenskar.db.driver.engine import transaction

_HAS_ANY = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_CURRENT = text("SELECT version_num FROM alembic_version")


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The revision that the database has, and the newest there is."""

    current: str | None
    head: str | None

    @property
    def up_to_date(self) -> bool:
        """Whether there is nothing to migrate."""
        return self.current == self.head


async def status(engine: AsyncEngine) -> SchemaStatus:
    """Compare the database with the packaged migrations."""
    async with transaction(engine) as db:
        migrated = await db.scalar(_HAS_ANY)
        current = await db.scalar(_CURRENT) if migrated else None
    return SchemaStatus(current, known()[-1])


def known() -> list[str]:
    """Return the revisions of this release, oldest first: a migration's file begins with its own.

    They are numbered, and each follows the one before.
    """
    files = (resources.migrations_dir() / "versions").glob("[0-9]*.py")
    return sorted(file.name.partition("_")[0] for file in files)
