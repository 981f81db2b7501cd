"""Admins and limits of an org stop its connection for a while, and nothing is lost meanwhile."""

import aiohttp

from tests.e2e.salesforce.sides import both_sides
from tests.e2e.salesforce.test_beside_stripe import open_three
from tests.e2e.salesforce.test_contacts import TOKEN, served
from tests.support.wait import until
from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.model.envelope import OUTBOUND
from zenskar.runtime import Runtime
from zenskar_salesforce.sandbox import ConnectedApp

HOURLY = {"SALESFORCE_POLL_SECONDS": "3600"}
PAUSED = "SELECT count(*) FROM connections WHERE reason = 'credentials'"
PAUSES = "SELECT count(*) FROM connection_history WHERE state = 'paused'"
DEAD = "SELECT count(*) FROM sync_events WHERE status = 'dead'"
LATER = "UPDATE call_limits SET slot = slot - 1000000, reported_until = now() - interval '1 hour'"
"""The stored calls are those of an earlier day."""
POLLED = "SELECT count(*) FROM schedules WHERE name = 'poll:salesforce' AND state ? 'polled_at'"


async def resume(runtime: Runtime) -> None:
    await in_transaction(runtime.engine, lambda c: connections.resume(c, "salesforce", "ada"))
    runtime.context.wake(OUTBOUND)


async def test_a_disabled_app_pauses_once_and_all_work_goes_on_when_it_is_enabled(
    database_url: str,
) -> None:
    async with both_sides(database_url, **HOURLY) as both:
        await both.flow.create(name="First")
        await both.settle()
        tokens, app = both.org.tokens, both.org.tokens.app
        tokens.app = ConnectedApp("another-app", "secret")
        tokens.revoke()
        for number in range(20):
            await both.flow.create(name=f"n{number}")
        await both.flow.until_scalar(f"{PAUSED} HAVING count(*) = 1")
        assert await both.flow.scalar(PAUSES) == 1
        assert await both.flow.scalar(DEAD) == 0
        tokens.app = app
        await resume(both.flow.runtime)
        await both.settle()
        assert len(both.org.living) == 21
        assert (await both.flow.scalar(PAUSES), await both.flow.scalar(DEAD)) == (1, 0)


async def test_a_backfill_goes_on_at_its_page_when_the_next_day_has_calls(
    database_url: str,
) -> None:
    async with both_sides(database_url, **HOURLY) as both:
        # An answer to the poll could otherwise report the first day again after LATER.
        await both.flow.until_scalar(POLLED)
        for number in range(30):
            both.org.add(LastName=f"n{number}")
        both.org.habits.page_rows = 2
        both.org.allowance.limit = 100
        for _ in range(50):
            both.org.allowance.spend()
        operations = both.flow.runtime.operations(longest_wait_seconds=0.1)
        stopped = await operations.backfiller().run("salesforce", "customer")
        assert "none is left for a backfill" in str(stopped.problem)
        assert 0 < stopped.objects < 30

        both.org.shift_clock(90_000.0)
        async with both.flow.runtime.engine.begin() as db:
            await db.exec_driver_sql(LATER)
        results = []

        async def complete() -> bool:
            results.append(await operations.backfiller().run("salesforce", "customer"))
            return results[-1].complete

        await until(complete)
        assert results[-1].objects == 30
        assert both.org.allowance.used <= 1 + (30 - stopped.objects) // 2 + len(results)
        assert await both.flow.scalar("SELECT count(*) FROM customers") == 30


async def test_a_day_without_calls_delays_pushes_and_loses_none(database_url: str) -> None:
    async with both_sides(database_url, **HOURLY) as both:
        await both.flow.create(name="First")
        await both.settle()
        both.org.allowance.limit = both.org.allowance.used
        await both.flow.create(name="Second")
        await both.flow.until_scalar(
            "SELECT held_until > now() + interval '10 minutes' FROM connections"
        )
        assert (len(both.org.living), await both.flow.scalar(DEAD)) == (1, 0)

        both.org.shift_clock(90_000.0)
        await resume(both.flow.runtime)
        await both.settle()
        assert len(both.org.living) == 2


async def test_a_message_of_10_megabytes_is_refused_unread_and_the_next_one_is_read(
    database_url: str,
) -> None:
    async with (
        both_sides(database_url, **HOURLY, SALESFORCE_WEBHOOK_TOKEN=TOKEN) as both,
        served(both) as address,
        aiohttp.ClientSession() as http,
    ):
        record_id = await both.flow.create()
        await both.settle()
        large = b"<soapenv:Envelope>" + b"<a>x</a>" * (10 * 2**20 // 8)
        async with http.post(
            f"{address}/{TOKEN}", data=large, headers={"Content-Type": "text/xml"}
        ) as answer:
            assert answer.status == 413
        both.org.add_webhook_endpoint(f"{address}/{TOKEN}", TOKEN)
        both.org.edit(both.contact()["Id"], Phone="+49 1")
        await both.field(record_id, "phone", "+49 1")


async def test_a_hidden_field_is_emptied_neither_here_nor_at_stripe(database_url: str) -> None:
    async with open_three(database_url, seed=7) as three:
        made = await three.zenskar.create(name="Ada", email="ada@example.com", phone="+44 1")
        three.ids.append(made["id"])
        await until(three.equal)
        stripe_id = (await three.external(0))["stripe"]
        three.org.org.rights.hidden.add("Email")
        three.org.edit(three.org.living[0]["Id"], Phone="+44 2")
        runtime = three.zenskar.runtime

        async def paused() -> bool:
            async with runtime.engine.begin() as db:
                return bool((await db.exec_driver_sql(PAUSED)).scalar())

        await until(paused)
        await three.zenskar.ask("PATCH", f"/customers/{made['id']}", {"name": "Eve"})

        async def is_renamed() -> bool:
            return bool(three.stripe.dashboard.retrieve(stripe_id)["name"] == "Eve")

        await until(is_renamed)
        assert three.stripe.dashboard.retrieve(stripe_id)["email"] == "ada@example.com"
        three.org.org.rights.hidden.clear()
        await resume(runtime)
        await until(three.equal)
        ours, theirs = await three.zenskar.customer(made["id"]), three.org.living[0]
        held = three.stripe.dashboard.retrieve(stripe_id)
        for side in (ours, held):
            assert (side["name"], side["email"], side["phone"]) == (
                *("Eve", "ada@example.com", "+44 2"),
            )
        assert (theirs["Name"], theirs["Email"], theirs["Phone"]) == (
            *("Eve", "ada@example.com", "+44 2"),
        )
