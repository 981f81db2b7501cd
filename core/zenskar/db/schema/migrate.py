"""Schema migrations with Alembic, while other processes read and write."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar import resources
from zenskar.db.driver.engine import create_engine, outages, sqlstate
from zenskar.db.schema.online import Limits
from zenskar.errors import ConfigurationError, Unavailable
from zenskar.telemetry.logs import get_logger

_LOCK = 7_236_501_884_377
"""Advisory lock: two processes that start together migrate one after the other."""
_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_LOCK_TIMEOUT, _DEADLOCK, _TOO_LONG = "55P03", "40P01", "57014"
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _REPORT_SECONDS = 0.5, 10.0, 5.0
_OLDEST = text("""
    SELECT pid, application_name, round(extract(epoch FROM now() - xact_start)) AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND xact_start < now() AND pid <> pg_backend_pid()
      AND pid <> :own
    ORDER BY xact_start LIMIT 1
""")
_log = get_logger(__name__)


async def upgrade(url: str, revision: str = "head", limits: Limits | None = None) -> None:
    """Migrate up to a revision.

    Raises `Unavailable` when other processes hold the tables too long or the connection breaks,
    and `ConfigurationError` when PostgreSQL refuses a statement.
    """
    await _run(url, lambda config: command.upgrade(config, revision), limits or Limits())


async def downgrade(url: str, revision: str = "-1", limits: Limits | None = None) -> None:
    """Migrate down to a revision, one step by default; raises as `upgrade` does."""
    await _run(url, lambda config: command.downgrade(config, revision), limits or Limits())


async def _run(url: str, change: Callable[[Config], None], limits: Limits) -> None:
    async with _opened(url) as (engine, connection):
        migration = _Migration(engine, connection, limits)
        await migration.repeat(change)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[tuple[AsyncEngine, AsyncConnection]]:
    """Connect without the time limit of statements that the API and the worker need."""
    engine = create_engine(url, pool_size=2, command_timeout=None, application="zenskar migrate")
    try:
        with outages():
            async with engine.connect() as db:
                await db.execution_options(isolation_level="READ COMMITTED")
                yield engine, db
    finally:
        await engine.dispose()


class _Migration:
    """Runs a migration again while other processes hold the locks that it needs."""

    def __init__(self, engine: AsyncEngine, db: AsyncConnection, limits: Limits) -> None:
        self._engine = engine
        self._connection = db
        self._limits = limits
        self._ends_at = time.monotonic() + limits.patience_seconds

    async def repeat(self, change: Callable[[Config], None]) -> None:
        """Migrate in attempts; the migrations that an attempt finished stay."""
        own = await self._connection.scalar(text("SELECT pg_backend_pid()"))
        await self._connection.commit()
        reporter = asyncio.create_task(self._log_the_oldest_transaction(own))
        try:
            pause = _PAUSE_SECONDS
            while not await self._attempt(change):
                await self._wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        finally:
            reporter.cancel()
            await asyncio.gather(reporter, return_exceptions=True)

    async def _attempt(self, change: Callable[[Config], None]) -> bool:
        """Return whether the migration is complete; False when another process holds a lock."""
        if not await self._alone():
            return False
        try:
            await self._connection.run_sync(self._migrate, change)
        except DBAPIError as error:
            await self._connection.rollback()
            if sqlstate(error) not in {_LOCK_TIMEOUT, _DEADLOCK}:
                raise _in_one_line(error) from error
            return False
        except PendingRollbackError as error:
            # SQLAlchemy raises this instead of the cause: a lost connection, or a cancellation.
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from error
            raise Unavailable("the connection to the database broke; run it again") from error
        return True

    async def _alone(self) -> bool:
        # Without waiting in a statement: CREATE INDEX CONCURRENTLY would wait for its transaction.
        taken = await self._connection.scalar(_TRY_LOCK, {"key": _LOCK})
        await self._connection.commit()
        return bool(taken)

    def _migrate(self, connection: Connection, change: Callable[[Config], None]) -> None:
        config = Config()
        config.set_main_option("script_location", str(resources.migrations_dir()))
        config.attributes.update(connection=connection, limits=self._limits)
        change(config)

    async def _wait(self, seconds: float) -> None:
        if time.monotonic() + seconds > self._ends_at:
            raise Unavailable(
                "the schema could not be migrated: others held its tables for "
                f"{self._limits.patience_seconds:.0f} s; finished migrations stay, run it again"
            )
        await asyncio.sleep(seconds)

    async def _log_the_oldest_transaction(self, own: int) -> None:
        with suppress(Exception):
            while True:
                await asyncio.sleep(_REPORT_SECONDS)
                async with self._engine.connect() as db:
                    found = (await db.execute(_OLDEST, {"own": own})).one_or_none()
                _log.warning(
                    "migration_waits",
                    transaction_of=found and found.application_name,
                    process=found and found.pid,
                    seconds=found and int(found.seconds),
                )


def _in_one_line(error: DBAPIError) -> Exception:
    if error.connection_invalidated:
        return error
    cause = (error.orig and error.orig.__cause__) or error.orig
    reason = str(cause).partition("\n")[0]
    if sqlstate(error) == _TOO_LONG:
        reason += "; --statement-timeout allows more time while nobody writes"
    return ConfigurationError(
        f"the schema cannot be migrated: {reason}. Nothing of this migration stays"
    )
