"""Migrations beside a running release: no statement blocks writers for long."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from alembic import op
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.schema import Index, Table

_RAW_INDEX = re.compile(r"\s*(CREATE\s+(UNIQUE\s+)?|DROP\s+)INDEX\b", re.IGNORECASE)
_FOUND = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of a migration: for a lock, for a statement, and for all attempts."""

    lock_seconds: float = 0.5
    statement_seconds: float = 10.0
    patience_seconds: float = 3600.0


class OnlineImpl(PostgresqlImpl):
    """Builds and drops indexes of existing tables without blocking their writers.

    An index is built outside of transactions, so it comes first in a migration: after a failure
    the migration can run again.
    """

    __dialect__ = "postgresql"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = Limits()
        self.forget_step()

    def keep_to(self, limits: Limits) -> None:
        """Limit how long a statement waits for a lock: writers queue behind that statement."""
        self._limits = limits
        self._set_limits(limits.lock_seconds, limits.statement_seconds)
        self._opened.commit()

    def forget_step(self, **_: Any) -> None:
        """Forget the tables of the last migration, before the next one."""
        self._made: set[str] = set()
        self._changed = False

    def create_table(self, table: Table, **options: Any) -> None:
        """Create a table with its indexes."""
        self._made.add(table.name)
        super().create_table(table, **options)

    def create_index(self, index: Index, **options: Any) -> None:
        """Build an index; concurrently when its table existed before the migration.

        Raises `CommandError` when the migration has changed something before.
        """
        if self._is_made_here(index):
            super().create_index(index, **options)
            return
        with self._outside_of_transactions(index):
            valid = self._opened.scalar(_FOUND, {"name": index.name})
            if valid:
                return
            if valid is False:
                # A failed build leaves an invalid index: no query reads it, but writers update it.
                super().drop_index(index)
            super().create_index(index, **options)

    def drop_index(self, index: Index, **options: Any) -> None:
        """Drop an index; raises as `create_index` does."""
        if self._is_made_here(index):
            super().drop_index(index, **options)
            return
        with self._outside_of_transactions(index):
            super().drop_index(index, **{**options, "if_exists": True})

    def execute(self, sql: Any, execution_options: dict[str, Any] | None = None) -> None:
        """Run a statement; raises `CommandError` for an index in raw SQL."""
        if isinstance(sql, str) and _RAW_INDEX.match(sql):
            raise CommandError("use op.create_index and op.drop_index, which block no writers")
        super().execute(sql, execution_options)

    def _exec(self, *arguments: Any, **options: Any) -> Any:
        self._changed = True
        return super()._exec(*arguments, **options)

    def _is_made_here(self, index: Index) -> bool:
        return index.table is not None and index.table.name in self._made

    @contextmanager
    def _outside_of_transactions(self, index: Index) -> Iterator[None]:
        if self._changed:
            raise CommandError(
                f"the index {index.name} of a table that exists is built outside of the "
                "transaction of its migration: put it first, or into a migration of its own"
            )
        index.dialect_options["postgresql"]["concurrently"] = True
        with op.get_context().autocommit_block():
            # The build waits for old transactions, and blocks no other process.
            self._set_limits(self._limits.patience_seconds, 0)
            yield
            self._set_limits(self._limits.lock_seconds, self._limits.statement_seconds)
        self._changed = False

    def _set_limits(self, lock_seconds: float, statement_seconds: float) -> None:
        self._opened.execute(text(f"SET lock_timeout = {round(lock_seconds * 1000)}"))
        self._opened.execute(text(f"SET statement_timeout = {round(statement_seconds * 1000)}"))

    @property
    def _opened(self) -> Connection:
        return cast(Connection, self.connection)
