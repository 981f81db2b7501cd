"""The schema revision of a database, and the revisions of this release, without Alembic."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar import resources
from zenskar.db.driver.engine import transaction

_HAS_ANY = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_CURRENT = text("SELECT version_num FROM alembic_version")


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The revision of the database, and the newest revision of this release."""

    current: str | None
    head: str | None

    @property
    def up_to_date(self) -> bool:
        """Whether the database has the newest revision."""
        return self.current == self.head

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"current": self.current, "head": self.head, "up_to_date": self.up_to_date}


async def status(engine: AsyncEngine) -> SchemaStatus:
    """Compare the database with the packaged migrations."""
    async with transaction(engine) as db:
        migrated = await db.scalar(_HAS_ANY)
        current = await db.scalar(_CURRENT) if migrated else None
    return SchemaStatus(current, known()[-1])


def known() -> list[str]:
    """Return the revisions of this release, oldest first.

    The file name of a migration begins with its revision, and revisions are numbered.
    """
    files = (resources.migrations_dir() / "versions").glob("[0-9]*.py")
    return sorted(file.name.partition("_")[0] for file in files)
