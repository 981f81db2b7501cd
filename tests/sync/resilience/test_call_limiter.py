"""Declared limits hold over all processes, and for each purpose of calls."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

import pytest

from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow, open_flow
from tests.support.wait import until
from zenskar import CallFailed, CallLimit, FailureKind, Usage
from zenskar.db import call_limits
from zenskar.db.driver.engine import in_transaction
from zenskar.model.actor import Actor
from zenskar.ops import connections
from zenskar.ops.connections import ResumeRequest
from zenskar.sync.reconcile.reader import ExternalReader, RetryLimits
from zenskar.sync.reconcile.reconcile_job import ReconcileJob
from zenskar.sync.resilience.call_limiter import CallLimiter
from zenskar.sync.resilience.rate_limit import HELD

HOUR = 3600.0
HELD_BACK = "SELECT held_until > now() FROM connections WHERE name = 'fake'"


@asynccontextmanager
async def limited(
    database_url: str, *limits: CallLimit, working: bool = False, **parts: object
) -> AsyncIterator[Flow]:
    system = FakeSystem(call_limits=limits)
    for name, value in parts.items():
        setattr(system, name, value)
    async with open_flow(database_url, working=working, systems={"fake": system}) as flow:
        yield flow


def limiter_of(flow: Flow) -> CallLimiter:
    found = flow.runtime.context.limiter
    assert found is not None
    return found


async def admitted(limiter: CallLimiter, hook: str) -> int:
    """Admit calls until one is refused."""
    for count in range(10_000):
        try:
            await limiter.admit("fake", hook)
        except CallFailed as error:
            if error.failure.code != HELD:
                raise
            return count
    raise AssertionError("no call was refused")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each time that calls are taken from the database."""
    found: list[str] = []
    lock = call_limits.lock

    async def noting(db: object, source: str, limits: object) -> object:
        found.append(source)
        return await lock(db, source, limits)  # type: ignore[arg-type]

    monkeypatch.setattr(call_limits, "lock", noting)
    return found


async def resume(flow: Flow) -> None:
    broadcaster = flow.runtime.context.broadcaster
    await in_transaction(
        flow.runtime.engine,
        lambda c: connections.resume(
            c, "fake", Actor("me", "a test"), ResumeRequest(), broadcaster
        ),
    )
    flow.runtime.context.wake("sync.outbound")


async def test_all_processes_share_a_limit(database_url: str) -> None:
    limit = CallLimit(calls=200, seconds=HOUR)
    async with AsyncExitStack() as stack:
        flows = [await stack.enter_async_context(limited(database_url, limit)) for _ in range(2)]
        limiters = [limiter_of(flow) for flow in flows]
        counts = await asyncio.gather(*(admitted(each, "push") for each in (*limiters, *limiters)))
        assert sum(counts) == 190
        (use,) = await flows[0].rows("SELECT * FROM call_limits")
        assert sum(use["taken"]) == 190


async def test_a_killed_process_loses_its_slice_only(database_url: str) -> None:
    async with limited(database_url, CallLimit(calls=100, seconds=HOUR)) as flow:
        for _ in range(4):
            await limiter_of(flow).admit("fake", "push")
    async with limited(database_url, CallLimit(calls=100, seconds=HOUR)) as flow:
        assert 95 - 4 - 10 <= await admitted(limiter_of(flow), "push") <= 95 - 4


async def test_few_calls_cost_a_statement(database_url: str, taken: list[str]) -> None:
    async with limited(database_url, CallLimit(calls=15_000, seconds=86_400.0)) as flow:
        for _ in range(60):
            await limiter_of(flow).admit("fake", "push")
    assert len(taken) == 6


async def test_a_connection_without_limits_costs_nothing(
    database_url: str, taken: list[str]
) -> None:
    async with open_flow(database_url) as flow:
        await flow.create()
        await flow.settle()
    async with limited(database_url, CallLimit(calls=1, seconds=HOUR, hooks=("find",))) as flow:
        for _ in range(3):
            await limiter_of(flow).admit("fake", "push")
    assert taken == []


async def test_backfills_stop_first_and_pushes_last(database_url: str) -> None:
    async with limited(database_url, CallLimit(calls=10, seconds=HOUR)) as flow:
        limiter = limiter_of(flow)
        assert await admitted(limiter, "list_page") == 6
        assert await admitted(limiter, "fetch") == 2
        assert await admitted(limiter, "push") == 2
        held = {"source": "fake", "purpose": "backfill"}
        registry = flow.runtime.metrics.registry
        assert registry.get_sample_value("zenskar_calls_held_total", held) == 1
        used = {"source": "fake", "limit": "", "seconds": "3600"}
        assert registry.get_sample_value("zenskar_call_limit_used", used) == 10


async def test_a_setting_replaces_the_limit_of_a_day(database_url: str) -> None:
    system = FakeSystem(call_limits=(CallLimit(calls=4, seconds=86_400),))
    environment = {"FAKE_DAILY_CALLS": "20", "FAKE_PUSH_SHARE": "0.5"}
    async with open_flow(
        database_url, working=False, systems={"fake": system}, environment=environment
    ) as flow:
        assert await admitted(limiter_of(flow), "push") == 10


async def test_a_call_waits_for_a_short_time(database_url: str) -> None:
    async with limited(database_url, CallLimit(calls=2, seconds=0.4)) as flow:
        made: list[float] = []

        async def call() -> None:
            await limiter_of(flow).admit("fake", "push")
            made.append(time.monotonic())

        await asyncio.gather(*(call() for _ in range(4)))
        assert len(made) == 4
        # The second call after a call is in a later period.
        assert all(later - earlier > 0.3 for earlier, later in zip(made, made[2:], strict=False))


async def test_many_calls_are_due_again_one_after_another(database_url: str) -> None:
    async with limited(database_url, CallLimit(calls=10, seconds=10.0)) as flow:
        limiter = limiter_of(flow)

        async def refused() -> float:
            try:
                await limiter.admit("fake", "push")
            except CallFailed as error:
                return error.failure.retry_after or 0.0
            return 0.0

        await admitted(limiter, "push")
        delays = [await refused() for _ in range(3)]
        assert all(earlier < later for earlier, later in pairwise(delays))


async def test_pushes_without_calls_are_held_and_a_resumption_counts_anew(
    database_url: str,
) -> None:
    """The first worker asks for the account, and its scheduler reads the feed."""
    async with limited(database_url, CallLimit(calls=6, seconds=HOUR), working=True) as flow:
        await until(lambda: asyncio.sleep(0, flow.systems["fake"].polls))
        for number in range(8):
            await flow.create(name=f"Customer {number}")
        await flow.until_scalar(HELD_BACK)
        await flow.until_scalar("SELECT count(*) = 4 FROM outbox WHERE available_at > now()")
        assert len(flow.systems["fake"].objects) == 4
        assert flow.runtime.context.backoff.left("fake") > 600
        (shown,) = await in_transaction(
            flow.runtime.engine, lambda c: connections.statuses(c, ("fake",))
        )
        assert shown.state.held_until is not None
        (use,) = shown.call_limits
        assert (use.calls, use.used) == (6, 6)
        await resume(flow)
        await flow.settle()
        assert len(flow.systems["fake"].objects) == 8
        assert await flow.scalar("SELECT max(attempts) FROM sync_events") == 0


async def test_a_backfill_waits_and_goes_on(database_url: str) -> None:
    """A person's command waits; a job ends, and starts when calls are left."""
    async with limited(database_url, CallLimit(calls=2, seconds=HOUR)) as flow:
        context, waits = flow.runtime.context, list[float]()

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            await in_transaction(context.engine, lambda c: call_limits.forget(c, "fake"))
            limiter_of(flow)._refusals.clear()

        for _ in range(2):
            await limiter_of(flow).admit("fake", "push")
        job = ExternalReader(
            context, RetryLimits(context.retry, longest_wait_seconds=60.0), timeout_seconds=5.0
        )
        with pytest.raises(CallFailed, match="none is left for a backfill"):
            await anext(job.pages("fake", "customer", None))
        assert limiter_of(flow).left("fake", "list_page") > 60
        assert await ReconcileJob(context, None)._is_held("fake")  # type: ignore[arg-type]
        person = ExternalReader(
            context, RetryLimits(context.retry), timeout_seconds=5.0, sleep=sleep
        )
        await anext(person.pages("fake", "customer", None))
        assert len(waits) == 1
        assert flow.systems["fake"].pages == [None]


async def test_a_poll_without_calls_is_due_later(database_url: str) -> None:
    async with limited(database_url, CallLimit(calls=2, seconds=HOUR)) as flow:
        await admitted(limiter_of(flow), "push")
        await flow.runtime.operations().feed_poller().run("fake", {})
        assert flow.systems["fake"].polls == []
        assert await flow.scalar("SELECT held_until IS NOT NULL FROM connections")


async def test_a_rate_limit_of_one_endpoint_holds_only_that(database_url: str) -> None:
    writes = CallLimit("writes", calls=100, seconds=10.0, hooks=("push",))
    refusals = [FakeError(FailureKind.RATE_LIMITED, retry_after=600.0, limit="writes")]

    def refuse(_push: object) -> None:
        if refusals:
            raise refusals.pop()

    async with limited(database_url, writes, working=True, before=refuse) as flow:
        await flow.create()
        await flow.until_scalar("SELECT count(*) = 1 FROM outbox WHERE available_at > now()")
        assert await flow.scalar(HELD_BACK) is None
        assert limiter_of(flow).left("fake", "push") > 590
        async with limited(database_url, writes) as other:
            limits = RetryLimits(other.runtime.context.retry, rate_limit_waits=0)
            reader = ExternalReader(other.runtime.context, limits, timeout_seconds=5.0)
            await anext(reader.pages("fake", "customer", None))
            with pytest.raises(CallFailed) as caught:
                await limiter_of(other).admit("fake", "push")
            assert (caught.value.failure.retry_after or 0) > 590
        await resume(flow)
        await flow.settle()
        assert len(flow.systems["fake"].objects) == 1


@pytest.mark.parametrize("limit", [None, "unknown"])
async def test_any_other_rate_limit_holds_the_connection(
    database_url: str, limit: str | None
) -> None:
    error = FakeError(FailureKind.RATE_LIMITED, retry_after=600.0, limit=limit)
    system = FakeSystem(call_limits=(CallLimit("writes", calls=100, seconds=10.0),))

    def refuse(_push: object) -> None:
        raise error

    system.before = refuse
    async with open_flow(database_url, systems={"fake": system}) as flow:
        await flow.create()
        await flow.until_scalar(HELD_BACK)


# --- usage ----------------------------------------------------------------------------------


async def test_calls_of_other_applications_count(database_url: str) -> None:
    async with limited(database_url, CallLimit(calls=100, seconds=HOUR), usage=()) as flow:
        system = flow.systems["fake"]
        await limiter_of(flow).admit("fake", "push")
        system.usage = (Usage(used=90, calls=1000), Usage(used=5, limit="unknown"))
        assert await admitted(limiter_of(flow), "push") == 950 - 90
        (status,) = await in_transaction(
            flow.runtime.engine, lambda c: connections.statuses(c, ("fake",))
        )
        (use,) = status.call_limits
        assert (use.used, use.calls) == (950, 1000)


async def test_a_report_holds_until_the_system_counts_anew(database_url: str) -> None:
    async with limited(database_url, CallLimit(calls=100, seconds=HOUR), usage=()) as flow:
        system, began = flow.systems["fake"], time.monotonic()
        system.usage = (Usage(used=100, resets_in=0.4),)
        await limiter_of(flow).admit("fake", "list_page")
        assert time.monotonic() - began > 0.3
        system.usage = (Usage(used=100, resets_in=600.0),)
        await admitted(limiter_of(flow), "list_page")
        assert limiter_of(flow).left("fake", "list_page") > 500


async def test_a_usage_that_fails_stops_no_call(database_url: str) -> None:
    async with limited(database_url, CallLimit(calls=100, seconds=HOUR), usage=()) as flow:
        flow.systems["fake"].usage = ("many",)  # type: ignore[assignment]
        await limiter_of(flow).admit("fake", "push")
