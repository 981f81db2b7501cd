"""Faults of Stripe and of the settings for it, and a worker that dies during a run."""

import signal

from playwright.async_api import Browser as Chromium
from playwright.async_api import Page

from tests.browser.chromium import watched
from tests.browser.faults.clicks import fault
from tests.browser.faults.stripe_console import (
    SECRET,
    StripeConsole,
    environment_of,
    open_stripe,
    worker_process,
)
from tests.support.flow import running_worker
from tests.support.wait import until
from zenskar.http.lookalike import Fault, FaultKind
from zenskar_stripe.sandbox import StripeSandbox

_ALWAYS = 1_000_000
_WORKERS_ALIVE = "SELECT count(*) FROM workers WHERE seen_at > now() - interval '15 seconds'"


async def test_stripe_limits_calls_fails_and_its_webhooks_do_not_arrive(
    browser: Chromium, database_url: str
) -> None:
    settings = {"breaker_failures": 2}
    async with (
        StripeSandbox() as sandbox,
        open_stripe(database_url, environment_of(sandbox), **settings) as console,
        watched(browser, console.address) as page,
    ):
        flow = console.flow
        sandbox.dashboard.create({"name": "Nobody was told"})
        async with fault(page, "webhooks do not arrive") as operator:
            await operator.follow("stripe")
            await operator.sees_the_state("Last event in", "none for 1 h")
            await operator.follow("Compare and backfill")
            await operator.act("Repair…", "Repair")
            await operator.sees("done", "repaired")
        assert await flow.scalar("SELECT count(*) FROM customers WHERE name LIKE 'Nobody%'") == 1

        sandbox.faults.add(Fault(kind=FaultKind.SERVER_ERROR, count=_ALWAYS))
        for name in ("Grace", "Joan", "Radia"):
            await flow.create(name=name)
        async with fault(page, "the external system answers errors or not at all") as operator:
            await operator.sees_the_state("stripe is paused", "its system does not answer")
            sandbox.faults.clear()
            await operator.no_longer_sees("stripe is paused")
        await flow.settle()

        sandbox.faults.add(Fault(kind=FaultKind.RATE_LIMITED, count=_ALWAYS, retry_after=300))
        await flow.create()
        await flow.until_scalar("SELECT held_until > now() FROM connections")
        async with fault(page, "the external system limits calls") as operator:
            await operator.sees("rate limit, 4 min left")
            await operator.follow("stripe")
            await operator.sees_the_state("calls wait", "4 min left")


async def test_settings_of_stripe_are_wrong(browser: Chromium, database_url: str) -> None:
    async with StripeSandbox() as sandbox, StripeSandbox() as other:
        right = environment_of(sandbox)
        async with open_stripe(database_url, right) as console:
            await console.flow.create()
            await console.flow.settle()
        wrong = environment_of(sandbox, STRIPE_API_KEY="sk_test_of_nobody")
        async with open_stripe(database_url, wrong) as console:
            await console.flow.create(name="Grace")
            await console.flow.until_scalar("SELECT state = 'paused' FROM connections")
            async with watched(browser, console.address) as page:
                await page.open()
                assert "set valid credentials, restart, and resume" in await page.text()
        async with (
            open_stripe(database_url, right) as console,
            watched(browser, console.address) as page,
            fault(page, "wrong API key") as operator,
        ):
            await operator.follow("stripe is paused")
            await operator.sees_the_state("credentials", "Stripe answered 401")
            assert await operator.act("Resume…", "Resume") == "stripe is resumed."
            await console.flow.settle()
        elsewhere = environment_of(sandbox, STRIPE_API_BASE=other.base_url)
        async with (
            open_stripe(database_url, elsewhere) as console,
            watched(browser, console.address) as page,
        ):
            await console.flow.create(name="Joan")
            async with fault(page, "the key of another account") as operator:
                await operator.sees("its credentials open another account")
                await operator.follow("stripe is paused")
                await operator.sees_the_state("Account", "acct_", "another account")
                assert await operator.act("Resume…", "Resume") == "stripe is resumed."
            await console.flow.settle()


async def test_the_secret_of_webhooks_is_wrong(browser: Chromium, database_url: str) -> None:
    async with StripeSandbox(webhook_retry_base=0.1) as sandbox:
        wrong = environment_of(sandbox, STRIPE_WEBHOOK_SECRET="whsec_of_nobody")
        async with (
            open_stripe(database_url, wrong) as console,
            watched(browser, console.address) as page,
        ):
            _send_to(console, sandbox)
            sandbox.dashboard.create({"name": "Unsigned"})
            async with fault(page, "wrong webhook secret") as operator:
                await operator.follow("stripe")
                await operator.sees_the_state("Webhooks refused", "wrong signature")
        async with open_stripe(database_url, environment_of(sandbox)) as console:
            _send_to(console, sandbox)
            sandbox.dashboard.create({"name": "Signed"})
            await console.flow.until_scalar("SELECT EXISTS (SELECT FROM customers)")


def _send_to(console: StripeConsole, sandbox: StripeSandbox) -> None:
    sandbox.send_webhooks_only_to(f"{console.address}/webhooks/stripe", SECRET)


async def test_a_worker_dies_during_a_run_and_another_one_ends_it(
    browser: Chromium, database_url: str
) -> None:
    async with StripeSandbox() as sandbox:
        sandbox.dashboard.create({"name": "Ada"})
        environment = environment_of(sandbox)
        sandbox.faults.add(
            Fault(
                kind=FaultKind.DELAY, count=_ALWAYS, delay_seconds=60, path_prefix="/v1/customers"
            )
        )
        async with (
            open_stripe(database_url, environment, "outbound") as console,
            worker_process(database_url, environment) as process,
            watched(browser, console.address) as page,
        ):
            flow = console.flow
            await flow.until_scalar(f"SELECT ({_WORKERS_ALIVE}) = 2")
            await page.open("/runs")
            run = page.page
            await run.click("text=Import…")
            await run.fill("dialog #reason", "the first import")
            await run.click("dialog button.primary, dialog button.danger")
            await run.wait_for_selector(".head:has-text('running')", timeout=30_000)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await _let_time_pass(console)
            await _says(run, "The worker of this run has gone")
            async with fault(page, "a worker dies") as operator:
                await operator.sees("Workers are missing", "polls, probes of outages and repairs")
                await operator.follow("Workers are missing")
                await operator.sees_the_state("gone", "inbound, outbound, relay, scheduler")
            sandbox.faults.clear()
            async with running_worker(flow.runtime, "scheduler", "inbound"):
                await flow.until_scalar("SELECT state = 'done' FROM operator_runs")
        assert await flow_names(console) == ["Ada"]


async def flow_names(console: StripeConsole) -> list[str]:
    return [row["name"] for row in await console.flow.rows("SELECT name FROM customers")]


async def _let_time_pass(console: StripeConsole) -> None:
    """Let the heartbeat and the lease of the dead worker be old."""
    async with console.flow.runtime.engine.begin() as db:
        await db.exec_driver_sql(
            "UPDATE workers SET seen_at = now() - interval '20 seconds'"
            " WHERE roles LIKE '%scheduler%'"
        )
        await db.exec_driver_sql("UPDATE operator_runs SET lease_until = now()")
        await db.exec_driver_sql("UPDATE schedules SET due_at = now()")


async def _says(page: Page, text: str) -> None:
    async def is_shown() -> bool:
        await page.evaluate("document.body.dispatchEvent(new Event('tick'))")
        await page.wait_for_timeout(500)
        return text in await page.inner_text("main")

    await until(is_shown)
