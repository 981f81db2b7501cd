"""Connections to PostgreSQL."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import orjson
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from zenskar.db.driver.address import CannotConnect, read_address
from zenskar.db.driver.statements import driver, is_clean
from zenskar.errors import Unavailable

T = TypeVar("T")

_RETRY_STATES = frozenset({"40001", "40P01", "55P03", "23505"})
"""Serialization failure, deadlock, lock timeout, and the unique key that another worker took.

https://www.postgresql.org/docs/15/errcodes-appendix.html
"""
_AWAY_CLASSES = ("08", "57", "53")
"""Connection exception, operator intervention, insufficient resources."""
_FULL, _READ_ONLY = "53100", "25006"
_JSONB_VERSION = b"\x01"
"""What jsonb begins with on the wire: `jsonb_recv` in PostgreSQL's sources."""
# One plan for all values, made once: to plan costs as much as to look up a few rows. What could
# make such a plan slow one day is off, and so is the compiler that its price would wake.
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
_IDLE_SECONDS = 0.5


def create_engine(
    url: str,
    *,
    pool_size: int,
    pool_timeout: float = 5.0,
    command_timeout: float | None = 60.0,
    application: str = "zenskar",
) -> AsyncEngine:
    """Return an engine for a `postgresql://` URL. Both timeouts are in seconds.

    The server shows `application` beside each connection.

    Of itself it makes every statement a transaction of its own, without a round trip for BEGIN
    and one for COMMIT.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        # The connection that was used last has its statements prepared; others may rest.
        pool_use_lifo=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "async_creator_fn": read_address(url).connect,
            "seconds": pool_timeout,
            "command_timeout": command_timeout,
            "application": application,
        },
    )
    event.listen(engine.sync_engine, "connect", _prefer_indexes)
    event.listen(engine.sync_engine, "connect", _read_jsonb)
    event.listen(engine.sync_engine, "checkin", _note_use)
    event.listen(engine.sync_engine, "checkout", _ping_idle)
    return engine


def _prefer_indexes(connection: Any, _record: Any) -> None:
    """Tables start empty, and a plan cached then would scan them whole once they are large.

    A bitmap scan reads what was deleted since the last vacuum again and again; an index scan
    marks it in the index, and it is passed over from then on.
    """
    cursor = connection.cursor()
    cursor.execute("SET plan_cache_mode = force_custom_plan")
    cursor.execute("SET enable_bitmapscan = off")
    cursor.close()
    connection.commit()


def _read_jsonb(connection: Any, _record: Any) -> None:
    """Read jsonb as it comes: SQLAlchemy would have it copied and decoded to a text first."""
    connection.run_async(
        lambda driver: driver.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            format="binary",
            encoder=lambda text: _JSONB_VERSION + text.encode(),
            decoder=lambda sent: orjson.loads(sent[1:]),
        )
    )


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _ping_idle(connection: Any, record: Any, _proxy: Any) -> None:
    """Replace a connection that died while it was idle.

    The pool's own ping before every use costs three round trips, as many as most of the work.
    """
    if not is_clean(record.driver_connection):
        raise DisconnectionError("the connection was closed while it was idle")
    used_at = record.info.get("used_at")
    if used_at is None or time.monotonic() - used_at < _IDLE_SECONDS:
        return
    try:
        connection.ping()
    except Exception as error:
        raise DisconnectionError("the connection died while it was idle") from error


@asynccontextmanager
async def transaction(engine: AsyncEngine, begin: str = "BEGIN") -> AsyncIterator[AsyncConnection]:
    """Open a transaction; a database that is away becomes `Unavailable`."""
    async with connected(engine) as db:
        opened = driver(db)
        await opened.execute(begin)
        try:
            yield db
        except BaseException:
            # An error now must not take the place of the first one, which may be a cancellation.
            with suppress(Exception):
                await opened.execute("ROLLBACK")
            raise
        await opened.execute("COMMIT")


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection, on which every statement is a transaction of its own."""
    with outages():
        async with engine.connect() as db:
            try:
                yield db
            except Exception as error:
                # Its server is no primary any more: the next connection looks for the one that is.
                if sqlstate(error) == _READ_ONLY and not db.invalidated:
                    await db.invalidate()
                raise
            finally:
                if not db.invalidated and not is_clean(driver(db)):
                    await db.invalidate()


@contextmanager
def outages() -> Iterator[None]:
    """Turn what a database that is away raises into `Unavailable`."""
    try:
        yield
    except Exception as error:
        if is_away(error):
            raise Unavailable(_why(error)) from error
        raise


async def in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `work` in a transaction, again when the database asks for that."""
    return await again(lambda: _within(transaction(engine), work))


async def by_keys(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `work` as `in_transaction` does, when each of its statements finds rows by their keys."""
    return await again(lambda: _within(transaction(engine, _BEGIN_BY_KEYS), work))


async def each_alone(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `work`, each statement as a transaction of its own, again as `in_transaction` does."""
    return await again(lambda: _within(connected(engine), work))


async def again(attempt: Callable[[], Awaitable[T]]) -> T:
    """Make an attempt, and more of them while the database asks for that."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except Exception as error:
            if not is_transient(error):
                raise
    return await attempt()


async def _within(
    opened: AbstractAsyncContextManager[AsyncConnection],
    work: Callable[[AsyncConnection], Awaitable[T]],
) -> T:
    async with opened as connection:
        return await work(connection)


def _why(error: Exception) -> str:
    if isinstance(error, CannotConnect):
        return str(error)
    told = {
        _FULL: "the database has no room on its disk",
        _READ_ONLY: "the database is read-only",
    }
    return told.get(sqlstate(error) or "", f"the database is away ({type(error).__name__})")


def sqlstate(error: BaseException) -> str | None:
    """Return the five-letter SQLSTATE of a database error, if it has one."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)


def is_away(error: BaseException) -> bool:
    """Tell whether the database could not be reached, rather than refused what was asked.

    SQLAlchemy raises a bare OSError for a refused connection, and TimeoutError for its pool.
    """
    state = sqlstate(error)
    if state is not None and (state == _READ_ONLY or state[:2] in _AWAY_CLASSES):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, OSError) or type(error).__name__ in {
        "TimeoutError",
        "InterfaceError",
        # What the driver says between the server's farewell and the end of the connection.
        "InternalClientError",
        "ConnectionDoesNotExistError",
    }


def is_transient(error: BaseException) -> bool:
    """Tell whether the database asks for the same transaction once more."""
    return sqlstate(error) in _RETRY_STATES or _cached_plan_expired(error)


def _cached_plan_expired(error: BaseException) -> bool:
    """A migration under load invalidates prepared statements; the next attempt makes new ones."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return "InvalidCachedStatement" in repr(original)


async def ping(engine: AsyncEngine) -> None:
    """Raise `Unavailable` unless the database answers."""
    async with transaction(engine) as db:
        await db.execute(text("SELECT 1"))
