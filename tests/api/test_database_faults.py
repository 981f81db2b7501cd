"""A database that fails: 503 while it does, nothing half done, and it goes on afterwards."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from tests.support.api import ADA, Api, body_of, event, open_api, problem_of
from tests.support.flow import running_worker

_KILL = """
    CREATE FUNCTION kill() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
"""
_AT_COMMIT = """
    CREATE CONSTRAINT TRIGGER killer AFTER INSERT ON customers DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION kill()
"""


async def execute(api: Api, *statements: str) -> None:
    async with api.services.engine.begin() as db:
        for statement in statements:
            await db.exec_driver_sql(statement)


async def set_read_only(api: Api, value: str) -> None:
    """Set whether new transactions are read-only, also on open connections."""
    name = await api.flow.scalar("SELECT current_database()")
    engine = api.services.engine
    async with engine.connect() as db:
        await db.execution_options(isolation_level="AUTOCOMMIT")
        await db.execute(text("SET default_transaction_read_only = off"))
        await db.execute(
            text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')
        )
    await engine.dispose()


async def test_a_read_only_database_is_503_that_says_so_and_then_all_goes_on(api: Api) -> None:
    await set_read_only(api, "on")
    try:
        problem = await problem_of(await api.client.post("/customers", json=ADA), 503)
        assert "read-only" in problem["detail"]
        await problem_of(await api.webhook(event()), 503)
        async with running_worker(api.flow.runtime):
            await set_read_only(api, "off")
            await body_of(await api.client.post("/customers", json=ADA), 201)
            await body_of(await api.webhook(event()), 200)
            await api.flow.settle()
    finally:
        await set_read_only(api, "off")
    assert await api.flow.scalar("SELECT count(*) FROM customers") == 2
    assert await api.flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0


async def test_a_backend_that_is_killed_at_commit_leaves_nothing_or_all(api: Api) -> None:
    await execute(api, _KILL, _AT_COMMIT)
    headers = {"Idempotency-Key": "order-1"}
    await problem_of(await api.client.post("/customers", json=ADA, headers=headers), 503)
    counts = "SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM outbox)"
    assert await api.flow.scalar(counts) == 0
    await execute(api, "DROP TRIGGER killer ON customers", "DROP FUNCTION kill")
    await body_of(await api.client.post("/customers", json=ADA, headers=headers), 201)
    assert await api.flow.scalar(counts) == 2


@pytest.mark.parametrize("path", ["/customers", "/sync-events"])
async def test_a_pool_without_a_free_connection_is_a_bounded_wait(
    database_url: str, path: str
) -> None:
    async with open_api(database_url, database_pool_size=2) as api, AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(api.services.engine.connect())
        async with asyncio.timeout(20):
            response = await api.client.get(path)
        await problem_of(response, 503)
        assert "Retry-After" in response.headers
        await held.aclose()
        await body_of(await api.client.get(path), 200)
