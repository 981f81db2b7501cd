"""Connections to PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar, cast

from asyncpg import Connection
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from zenskar.db.driver.address import CannotConnect, read_address
from zenskar.db.driver.pool_checks import PoolChecks, is_clean
from zenskar.db.driver.pool_waits import WAITED, lent
from zenskar.errors import Unavailable

T = TypeVar("T")

_RETRY_STATES = frozenset({"40001", "40P01", "55P03", "23505"})
"""Serialization failure, deadlock, lock timeout, and a unique key that another worker inserted.

https://www.postgresql.org/docs/15/errcodes-appendix.html
"""
_UNAVAILABLE_CLASSES = ("08", "57", "53")
"""Connection exception, operator intervention, insufficient resources."""
_FULL, _READ_ONLY = "53100", "25006"
_CUT_OFF = frozenset({"InternalClientError", "ConnectionDoesNotExistError"})
"""The errors of asyncpg between the last message of the server and the end of the connection."""
# A single plan for all values, made once: planning costs as much as looking up a few rows. Scans
# and joins that could become slow with such a plan are off. The compiler is off, because these
# settings raise the estimated cost above its threshold.
_BEGIN_BY_KEYS = "BEGIN; " + " ".join(
    f"SET LOCAL {name} = {value};"
    for name, value in (
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
    )
)
_ATTEMPTS = 5
_ROLLBACK_SECONDS = 5.0
_after_commit: ContextVar[list[Callable[[], None]] | None] = ContextVar(
    "after_commit", default=None
)
"""The calls that the current transaction makes after its commit."""


def create_engine(
    url: str,
    *,
    pool_size: int,
    pool_timeout: float = 5.0,
    command_timeout: float | None = 60.0,
    application: str = "zenskar",
    waited: Callable[[float], None] | None = None,
) -> AsyncEngine:
    """Return an engine for a `postgresql://` URL. Both timeouts are in seconds.

    The server shows `application` beside each connection. `waited` receives the seconds of each
    wait for a connection of the pool. Outside of `transaction`, every
    statement is its own transaction, without round trips for BEGIN and COMMIT.
    Raises `ConfigurationError` when the URL cannot be read.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        # The last used connection has its statements prepared.
        pool_use_lifo=True,
        json_serializer=lambda value: value,
        execution_options={WAITED: waited},
        connect_args={
            "async_creator_fn": read_address(url).connect,
            "seconds": pool_timeout,
            "command_timeout": command_timeout,
            "application": application,
        },
    )
    PoolChecks(engine.sync_engine)
    return engine


def driver(db: AsyncConnection) -> Connection:
    """Return the connection of asyncpg, in the same transaction.

    A statement through SQLAlchemy costs five times as much as through asyncpg.
    """
    opened = cast(SyncConnection, db.sync_connection)
    return cast(Connection, opened.connection.driver_connection)


@asynccontextmanager
async def transaction(engine: AsyncEngine, begin: str = "BEGIN") -> AsyncIterator[AsyncConnection]:
    """Open a transaction. Raises `Unavailable` when the database is unavailable."""
    async with connected(engine) as db:
        opened = driver(db)
        await opened.execute(begin)
        calls: list[Callable[[], None]] = []
        outer = _after_commit.get()
        _after_commit.set(calls)
        try:
            yield db
        except BaseException:
            # An error now must not replace the first error, which may be a cancellation.
            with suppress(Exception):
                await opened.execute("ROLLBACK", timeout=_ROLLBACK_SECONDS)
            raise
        finally:
            _after_commit.set(outer)
        await opened.execute("COMMIT")
    for call in calls:
        call()


def after_commit(call: Callable[[], None]) -> None:
    """Make a call after the current transaction commits, and never if the transaction fails.

    Outside of a transaction the call is made at once.
    """
    calls = _after_commit.get()
    if calls is None:
        call()
    else:
        calls.append(call)


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection, on which every statement is its own transaction.

    Raises `Unavailable` when the database is unavailable.
    """
    with outages():
        async with lent(engine) as db:
            try:
                yield db
            except Exception as error:
                # The server is no longer the primary: the next connection searches for the new one.
                if sqlstate(error) == _READ_ONLY and not db.invalidated:
                    await db.invalidate()
                raise
            finally:
                if not db.invalidated and not is_clean(driver(db)):
                    await db.invalidate()


@contextmanager
def outages() -> Iterator[None]:
    """Raise `Unavailable` instead of each error of an unavailable database."""
    try:
        yield
    except Exception as error:
        if is_unavailable(error):
            raise Unavailable(_why(error)) from error
        raise


async def in_transaction(
    engine: AsyncEngine, transact: Callable[[AsyncConnection], Awaitable[T]]
) -> T:
    """Run `transact` in a transaction, and repeat it after a conflict.

    Raises `Unavailable` when the database is unavailable.
    """
    return await again(lambda: _within(transaction(engine), transact))


async def by_keys(engine: AsyncEngine, transact: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `transact` as `in_transaction` does; each of its statements must find rows by keys."""
    return await again(lambda: _within(transaction(engine, _BEGIN_BY_KEYS), transact))


async def each_alone(engine: AsyncEngine, transact: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `transact` as `in_transaction` does, each statement in its own transaction."""
    return await again(lambda: _within(connected(engine), transact))


async def again(attempt: Callable[[], Awaitable[T]]) -> T:
    """Run an attempt, and repeat it while it fails with a transient error."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except Exception as error:
            if not is_transient(error):
                raise
    return await attempt()


async def _within(
    opened: AbstractAsyncContextManager[AsyncConnection],
    transact: Callable[[AsyncConnection], Awaitable[T]],
) -> T:
    async with opened as db:
        return await transact(db)


def _why(error: Exception) -> str:
    if isinstance(error, CannotConnect):
        return str(error)
    known = {
        _FULL: "the database has no room on its disk",
        _READ_ONLY: "the database is read-only",
    }
    return known.get(sqlstate(error) or "", f"the database is unavailable ({type(error).__name__})")


def sqlstate(error: BaseException) -> str | None:
    """Return the five-letter SQLSTATE of a database error, None without a SQLSTATE."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)


def is_unavailable(error: BaseException) -> bool:
    """Return whether the error means an unavailable database, not a refused statement.

    SQLAlchemy raises a bare OSError for a refused connection, and TimeoutError for its pool.
    """
    state = sqlstate(error)
    if state is not None and (state == _READ_ONLY or state[:2] in _UNAVAILABLE_CLASSES):
        return True
    if isinstance(error, DBAPIError):
        reported = error.orig and error.orig.__cause__
        return error.connection_invalidated or type(reported).__name__ in _CUT_OFF
    known = {"TimeoutError", "InterfaceError", *_CUT_OFF}
    return isinstance(error, OSError) or type(error).__name__ in known


def is_transient(error: BaseException) -> bool:
    """Return whether the same transaction may succeed in another attempt."""
    return sqlstate(error) in _RETRY_STATES or _cached_plan_expired(error)


def _cached_plan_expired(error: BaseException) -> bool:
    """Return whether a migration invalidated a prepared statement, which is prepared again."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return "InvalidCachedStatement" in repr(original)


async def ping(engine: AsyncEngine) -> None:
    """Raise `Unavailable` unless the database answers."""
    async with transaction(engine) as db:
        await db.execute(text("SELECT 1"))


def connections_in_use(engine: AsyncEngine) -> int:
    """Return the number of connections that the pool of an engine has lent at this moment."""
    pool = engine.pool
    return pool.checkedout() if isinstance(pool, QueuePool) else 0
