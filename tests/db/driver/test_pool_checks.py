"""Idle connections to a server that does not answer are replaced together."""

import asyncio
import os
import signal
from contextlib import suppress

import pytest
from sqlalchemy import text

from zenskar.db.driver import pool_checks
from zenskar.db.driver.engine import create_engine, transaction

PID = text("SELECT pg_backend_pid()")


async def test_idle_connections_to_a_server_that_hangs_are_replaced_after_one_ping(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_checks, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(pool_checks, "_PING_SECONDS", 1.0)
    engine = create_engine(database_url, pool_size=4, command_timeout=60)
    async with (
        transaction(engine) as one,
        transaction(engine) as two,
        transaction(engine) as three,
        transaction(engine) as four,
    ):
        hung = [(await db.execute(PID)).scalar_one() for db in (one, two, three, four)]
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        # Each of the four would be asked, and each answer awaited.
        async with (
            asyncio.timeout(3.5),
            transaction(engine) as one,
            transaction(engine) as two,
            transaction(engine) as three,
            transaction(engine) as four,
        ):
            found = [(await db.execute(PID)).scalar_one() for db in (one, two, three, four)]
        assert not set(found) & set(hung)
    finally:
        for pid in hung:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await engine.dispose()


async def test_an_idle_connection_that_answers_is_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection costs 60 ms, so an idle one must not be replaced each time."""
    monkeypatch.setattr(pool_checks, "_IDLE_SECONDS", 0.0)
    engine = create_engine(database_url, pool_size=1)
    found = []
    for _ in range(3):
        async with transaction(engine) as db:
            found.append((await db.execute(PID)).scalar_one())
    await engine.dispose()
    assert len(set(found)) == 1
