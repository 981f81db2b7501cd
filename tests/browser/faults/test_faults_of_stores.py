"""Kafka and PostgreSQL: away, full, or with messages that are lost or stop the workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser as Chromium

from tests.browser.chromium import watched
from tests.browser.faults.clicks import fault
from tests.support.console import OpenConsole, open_console
from tests.support.flow import running_worker
from tests.support.postgres import open_gate
from zenskar.bus.port import Delivery, LogRange
from zenskar.model.envelope import INBOUND
from zenskar.sync.reconcile.log_losses import LogLossDetector

_NO_BROKER = "127.0.0.1:1"
_OLD = "UPDATE sync_events SET created_at = now() - interval '20 minutes', updated_at = created_at"


async def test_kafka_is_away(browser: Chromium, database_url: str) -> None:
    opened = open_console(database_url, auth="off", kafka_bootstrap_servers=_NO_BROKER)
    async with opened as console, watched(browser, console.address) as page:
        await console.flow.create()
        async with fault(page, "Kafka is away") as operator:
            await operator.follow("Messages wait for the bus")
            await operator.sees_the_state("Messages wait in the outbox", "Due now\n1")


async def test_kafka_loses_messages(browser: Chromium, database_url: str) -> None:
    """The log went back: a change here is sent again, a webhook is found by the reconcile."""
    settings = {"auth": "off", "resend_seconds": 0.1}
    async with (
        open_console(database_url, **settings) as console,
        watched(browser, console.address) as page,
    ):
        flow = console.flow
        await flow.create()
        flow.systems["fake"].create(name="Nobody was told", email="lost@example.com")
        flow.systems["fake"].webhooks.clear()
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("DELETE FROM outbox")
            await db.exec_driver_sql(_OLD)
        async with fault(page, "Kafka loses messages") as operator:
            await operator.sees("Events of fake wait", "the oldest waits for 20 min")
            await _lose_the_log(console)
            async with running_worker(flow.runtime):
                await flow.until_scalar("SELECT count(*) = 2 FROM customers")
                await flow.settle()
                await operator.no_longer_sees("Events of fake wait")
                await operator.follow("Compare and backfill")
                await operator.sees_the_state("1 missing here")
        assert len(flow.systems["fake"].objects) == 2


async def _lose_the_log(console: OpenConsole) -> None:
    """Show a log that ends before its remembered end."""
    ends = iter((9, 2))

    async def log() -> dict[tuple[str, int], LogRange]:
        return {(INBOUND, 0): LogRange(0, next(ends), 2)}

    detector = LogLossDetector(console.flow.runtime.context, log)
    await detector.run({})
    await detector.run({})


async def test_postgresql_is_away(browser: Chromium, database_url: str) -> None:
    async with (
        open_gate(database_url) as gate,
        open_console(gate.url, auth="off") as console,
        watched(browser, console.address) as page,
    ):
        async with fault(page, "PostgreSQL is away") as operator:
            await gate.close()
            await operator.browser.page.evaluate("document.body.dispatchEvent(new Event('tick'))")
            await page.page.wait_for_selector("#stale:not([hidden])")
            operator.clicks_to_state = operator.clicks
            await page.open("/events", 503)
            await operator.sees("Not available now", "the database is unavailable")
            await gate.open()
            await page.page.click("text=Try again")
            await page.page.wait_for_selector("h1:has-text('Events')")
        page.faults.clear()


async def test_the_disk_is_full(browser: Chromium, database_url: str) -> None:
    """PostgreSQL refuses every write, and an operator still gets in and sees why."""
    async with (
        open_console(database_url, working=True) as console,
        watched(browser, console.address) as page,
    ):
        await page.open()
        await page.page.fill("#key", await console.key())
        await page.page.keyboard.press("Enter")
        await page.page.wait_for_selector("h1:has-text('Overview')")
        async with _read_only(console), fault(page, "a full disk") as operator:
            await operator.sees("The part “database” does not work", "read-only")
            await operator.follow("The part “database” does not work")
            await operator.sees_the_state("Growth a day", "sync_events")


@asynccontextmanager
async def _read_only(console: OpenConsole) -> AsyncIterator[None]:
    """Refuse all writes of new transactions."""
    engine = console.flow.runtime.engine
    name = await console.flow.scalar("SELECT current_database()")
    async with engine.begin() as db:
        await db.exec_driver_sql("UPDATE console_sessions SET seen_at = now() - interval '1 hour'")
        await db.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await engine.dispose()
    try:
        yield
    finally:
        async with engine.connect() as db:
            await db.exec_driver_sql("SET default_transaction_read_only = off")
            await db.exec_driver_sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            await db.commit()
        await engine.dispose()


async def test_a_message_stops_its_workers(browser: Chromium, database_url: str) -> None:
    async with (
        open_console(database_url, auth="off") as console,
        watched(browser, console.address) as page,
    ):
        skipped = _stand_still(console)
        async with fault(page, "a message stops its workers") as operator:
            await operator.follow("Bus")
            await operator.sees("sync.inbound", "behind")
            await operator.follow("look")
            await operator.sees_the_state("at the head", "It cannot be read")
            done = await operator.act("Dead-letter…", "Dead-letter")
            assert done == "The message is a dead letter."
        assert skipped == [(INBOUND, 3, 4)]


def _stand_still(console: OpenConsole) -> list[tuple[str, int, int]]:
    """Show a partition with a message that nobody can read, and return the messages to skip."""
    skipped: list[tuple[str, int, int]] = []

    async def log() -> dict[tuple[str, int], LogRange]:
        return {(INBOUND, 3): LogRange(0, 9, 4)}

    async def read_at(topic: str, partition: int, offset: int) -> Delivery:
        return Delivery(topic, "k", b"\0 no JSON", 1, partition=partition, offset=offset)

    async def skip(*place: Any) -> None:
        skipped.append(place)

    bus = console.flow.runtime.bus
    bus.log, bus.read_at, bus.skip = log, read_at, skip  # type: ignore[method-assign]
    return skipped
