"""A transaction ends with its own error, and leaves no connection in a transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db.driver.engine import (
    after_commit,
    by_keys,
    connected,
    create_engine,
    driver,
    in_transaction,
    outages,
    transaction,
)
from zenskar.errors import Unavailable

PID, SLEEP = text("SELECT pg_backend_pid()"), text("SELECT pg_sleep(60)")


@pytest.fixture
async def alone(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with one connection."""
    engine = create_engine(database_url, pool_size=1)
    yield engine
    await engine.dispose()


async def begin_to_sleep(engine: AsyncEngine) -> tuple[asyncio.Task[None], int]:
    """Have a transaction sleep in a task; return the task and the server's process."""
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def sleep(db: AsyncConnection) -> None:
        begun.set_result((await db.execute(PID)).scalar_one())
        await db.execute(SLEEP)

    task = asyncio.create_task(in_transaction(engine, sleep))
    return task, await begun


async def end(database_url: str, pid: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SELECT pg_terminate_backend($1)", pid)
    finally:
        await connection.close()


async def test_a_cancellation_during_the_end_of_the_connection_is_not_lost(
    alone: AsyncEngine, database_url: str
) -> None:
    """It would become an outage, after which a worker that was cut off goes on."""
    for _ in range(5):
        task, pid = await begin_to_sleep(alone)
        task.cancel()
        await end(database_url, pid)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_an_ended_connection_is_an_outage_and_the_next_one_works(
    alone: AsyncEngine, database_url: str
) -> None:
    task, pid = await begin_to_sleep(alone)
    await end(database_url, pid)
    with pytest.raises(Unavailable):
        await task
    async with transaction(alone) as connection:
        assert (await connection.execute(PID)).scalar_one() != pid


async def test_a_connection_in_an_old_transaction_is_not_reused(
    alone: AsyncEngine,
) -> None:
    async with alone.connect() as db:
        pid = (await db.execute(PID)).scalar_one()
        await driver(db).transaction().start()
    async with transaction(alone) as connection:
        assert (await connection.execute(PID)).scalar_one() != pid


async def test_the_settings_of_by_keys_end_with_the_transaction(
    alone: AsyncEngine,
) -> None:
    async def planning(db: AsyncConnection) -> tuple[str, str]:
        opened = driver(db)
        return (
            await opened.fetchval("SHOW plan_cache_mode"),
            await opened.fetchval("SHOW enable_seqscan"),
        )

    assert await by_keys(alone, planning) == ("force_generic_plan", "off")
    assert await in_transaction(alone, planning) == ("force_custom_plan", "on")


async def test_jsonb_is_read_as_python_values(alone: AsyncEngine) -> None:
    document = text("""SELECT CAST('{"city": "Zürich", "n": [1, null]}' AS jsonb)""")
    async with transaction(alone) as connection:
        read = (await connection.execute(document)).scalar_one()
    assert read == {"city": "Zürich", "n": [1, None]}


async def test_the_last_used_connection_is_used_next(engine: AsyncEngine) -> None:
    async with transaction(engine) as first, transaction(engine) as second:
        pids = [(await each.execute(PID)).scalar_one() for each in (first, second)]
    assert len(set(pids)) == 2
    again = []
    for _ in range(3):
        async with transaction(engine) as db:
            again.append((await db.execute(PID)).scalar_one())
    # The second one was given back first.
    assert again == [pids[0]] * 3


async def raise_by_driver(db: AsyncConnection, sql: str) -> None:
    await driver(db).execute(sql)


async def raise_by_sqlalchemy(db: AsyncConnection, sql: str) -> None:
    await db.execute(text(sql))


@pytest.mark.parametrize("run", [raise_by_driver, raise_by_sqlalchemy])
@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "23505"])
async def test_a_transient_error_repeats_the_transaction(
    engine: AsyncEngine, state: str, run: Callable[[AsyncConnection, str], Awaitable[None]]
) -> None:
    attempts = 0

    async def fail_twice(db: AsyncConnection) -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raising = f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; END $$"
            await run(db, raising)
        return "done"

    assert await in_transaction(engine, fail_twice) == "done"
    assert attempts == 3


async def test_another_error_does_not_repeat_the_transaction(engine: AsyncEngine) -> None:
    attempts = 0

    async def divide_by_zero(db: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        await driver(db).execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await in_transaction(engine, divide_by_zero)
    assert attempts == 1


async def test_both_transactions_of_a_deadlock_finish(engine: AsyncEngine) -> None:
    both_hold, attempts = asyncio.Barrier(2), 0

    async def lock(db: AsyncConnection, number: int) -> None:
        await driver(db).execute("SELECT pg_advisory_xact_lock($1)", number)

    async def lock_both(db: AsyncConnection, first: int, second: int) -> int:
        nonlocal attempts
        attempts += 1
        await driver(db).execute("SET LOCAL deadlock_timeout = '20ms'")
        await lock(db, first)
        if attempts <= 2:
            await both_hold.wait()
        await lock(db, second)
        return first

    done = await asyncio.gather(
        in_transaction(engine, lambda c: lock_both(c, 1, 2)),
        in_transaction(engine, lambda c: lock_both(c, 2, 1)),
    )
    assert done == [1, 2]
    assert attempts == 3


async def test_a_migration_that_invalidates_prepared_statements_stops_nothing(
    alone: AsyncEngine, database_url: str
) -> None:
    async def change(sql: str) -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(sql)
        await connection.close()

    async def read(db: AsyncConnection) -> list[str]:
        rows = await driver(db).fetch("SELECT * FROM migrated")
        return list(rows[0].keys())

    await change("CREATE TABLE migrated AS SELECT 1 AS a")
    assert await in_transaction(alone, read) == ["a"]
    await change("ALTER TABLE migrated ADD COLUMN b integer")
    assert await in_transaction(alone, read) == ["a", "b"]


@pytest.mark.parametrize("run", [raise_by_driver, raise_by_sqlalchemy])
@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("53100", "no room"),
        ("25006", "read-only"),
        ("53300", "unavailable"),
        ("57P03", "unavailable"),
    ],
)
async def test_a_database_without_writes_gives_the_reason(
    engine: AsyncEngine,
    state: str,
    says: str,
    run: Callable[[AsyncConnection, str], Awaitable[None]],
) -> None:
    with pytest.raises(Unavailable, match=says):
        await in_transaction(
            engine, lambda c: run(c, f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; END $$")
        )


async def test_a_call_after_the_commit_is_made_once_and_outside_of_the_transaction(
    alone: AsyncEngine,
) -> None:
    """The engine has one connection, so another transaction could not begin inside of it."""
    done: list[str] = []
    attempts = 0

    async def write(db: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        after_commit(lambda: done.append(f"attempt {attempts}"))
        assert done == []
        if attempts == 1:
            await db.execute(text("DO $$ BEGIN RAISE serialization_failure; END $$"))

    await in_transaction(alone, write)
    assert done == ["attempt 2"]


async def test_a_call_after_the_commit_is_not_made_if_the_transaction_fails(
    alone: AsyncEngine,
) -> None:
    done: list[str] = []

    async def fail(_db: AsyncConnection) -> None:
        after_commit(lambda: done.append("never"))
        raise LookupError

    with pytest.raises(LookupError):
        await in_transaction(alone, fail)
    after_commit(lambda: done.append("at once"))
    assert done == ["at once"]


async def test_a_server_that_dies_within_a_statement_is_unavailable(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_given: object, **_named: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 11")

    async with connected(engine) as db:
        monkeypatch.setattr(asyncpg.Connection, "prepare", dies)
        with pytest.raises(Unavailable), outages():
            await db.execute(text("SELECT 'not prepared before'"))
