"""A system that asks for fewer calls gets none of any kind, until then or until it is resumed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.api import body_of, open_api
from tests.support.drift import factory
from tests.support.fake import FakeError, FakeIntegration
from tests.support.flow import Flow, open_flow, running_worker
from zenskar import CallFailed, FailureKind, Push
from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import Failure
from zenskar.model.actor import Actor
from zenskar.ops.replay import Replay
from zenskar.sync.reconcile.reader import ExternalReader, RetryLimits
from zenskar.sync.resilience.rate_limit import HELD, RateLimitBackoff

DUE_IN = "SELECT extract(epoch FROM max(available_at) - now())::float FROM outbox"
HELD_BACK = "SELECT held_until > now() FROM connections"


def limited(seconds: float | None = 600.0, times: int = 1) -> Callable[[object], None]:
    left = [times]

    def refuse(*_: object) -> None:
        if left[0]:
            left[0] -= 1
            raise FakeError(FailureKind.RATE_LIMITED, retry_after=seconds)

    return refuse


async def refused(flow: Flow) -> None:
    """Refuse a push, and wait until its connection is held back."""
    flow.systems["fake"].before = limited()
    await flow.create()
    await flow.until_scalar(HELD_BACK)
    await flow.until_scalar("SELECT count(*) FROM outbox WHERE available_at > now()")


async def resume(flow: Flow) -> None:
    await in_transaction(flow.runtime.engine, lambda c: connections.resume(c, "fake"))
    flow.runtime.context.wake("sync.outbound")


async def test_a_hold_is_as_long_as_it_was_asked_for(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await refused(flow)
        assert 590 < await flow.scalar(DUE_IN) <= 616


async def test_to_resume_ends_it(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await refused(flow)
        await resume(flow)
        await flow.settle()
        assert len(flow.systems["fake"].objects) == 1
        assert await flow.scalar(HELD_BACK) is None


async def test_to_resume_counts_for_a_push_whose_refusal_is_being_stored(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False) as flow:
        flow.systems["fake"].before = limited()
        decided: list[str] = []

        async def resume_once(point: str) -> None:
            if point == "outbound.decided" and not decided:
                decided.append(point)
                assert await flow.scalar(HELD_BACK)
                await resume(flow)

        runtime = replace(
            flow.runtime, context=replace(flow.runtime.context, failpoint=resume_once)
        )
        async with running_worker(runtime):
            await flow.create()
            await flow.settle()
        assert (len(flow.systems["fake"].objects), len(decided)) == (1, 1)


async def test_to_retry_is_fine_meanwhile_and_makes_no_call(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await refused(flow)
        (event,) = await flow.events("outbound")
        runtime = flow.runtime
        replay = Replay(runtime.engine, runtime.bus.wake, runtime.schemas["event"])
        for wanted in (EventFilter(ids=(str(event["id"]),)), EventFilter(source="fake")):
            assert await replay.retry(wanted, Actor("me", "a test")) == 1
            await flow.until_scalar(f"SELECT ({DUE_IN}) > 590")
            await flow.until_scalar("SELECT error_kind = 'rate_limited' FROM sync_events")
        assert len(flow.systems["fake"].calls) == 1
        await resume(flow)
        await flow.settle()


async def test_a_poll_that_is_refused_holds_pushes_back_and_itself(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        system, poller = flow.systems["fake"], factory(flow).feed_poller()
        system.reading = lambda hook, _about: limited()() if hook == "changes" else None
        for _ in range(3):
            await poller.run("fake", {})
        assert len(system.polls) == 1
        assert flow.runtime.context.backoff.left("fake") > 590
        assert await flow.scalar(HELD_BACK)


async def test_all_processes_are_held_back(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await refused(flow)
        async with open_flow(database_url, working=False) as other:
            limits = RetryLimits(other.runtime.context.retry, rate_limit_waits=0)
            reader = ExternalReader(other.runtime.context, limits, timeout_seconds=5.0)
            with pytest.raises(CallFailed) as caught:
                await anext(reader.pages("fake", "customer", None))
            assert caught.value.failure.code == HELD
            assert other.systems["fake"].pages == []
        await resume(flow)
        await flow.settle()


async def test_a_call_within_a_chain_is_held_back_too(database_url: str) -> None:
    """Another task's refusal counts from the next call on, whatever was planned before."""
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        backoff = flow.runtime.context.backoff

        async def hold(_push: Push) -> None:
            backoff.refused("fake", 600.0)
            raise CallFailed(Failure(FailureKind.GONE, "look"))

        record_id = await flow.create()
        await flow.settle()
        system.on_the_way = hold
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="c")
        await flow.until_scalar("SELECT count(*) FROM outbox WHERE available_at > now()")
        assert system.fetches == []


@pytest.mark.parametrize("keys", [True, False])
async def test_a_create_that_was_refused_is_made_without_looking_for_it(
    database_url: str, keys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not keys:
        monkeypatch.setattr(FakeIntegration, "idempotency_key_lifetime", None)
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        system.before = limited(0.01, times=3)
        for number in range(4):
            await flow.create(name=f"Customer {number}")
        await flow.settle()
        assert len(system.objects) == 4
        assert len(system.calls) == 7
        found = {"source": "fake", "hook": "find", "result": "ok"}
        metrics = flow.runtime.metrics.registry
        assert metrics.get_sample_value("zenskar_calls_total", found) is None
        assert not await flow.scalar("SELECT count(*) FROM push_intents WHERE state = 'unknown'")


async def test_it_is_shown(database_url: str) -> None:
    async with open_api(database_url) as api:
        engine = api.services.engine
        await in_transaction(engine, lambda c: connections.hold(c, "fake", 600.0))
        (view,) = (await body_of(await api.client.get("/connections"), 200))["data"]
        assert view["state"] == "active"
        assert view["held_until"] is not None
        ready = await body_of(await api.client.get("/health/ready"), 200)
        assert ready["checks"]["connections"]["status"] == "degraded"
        assert "held back: fake for" in ready["checks"]["connections"]["detail"]
        resumed = await body_of(await api.client.post("/connections/fake/resume"), 200)
        assert resumed["held_until"] is None


async def test_the_state_of_the_system_tells_how_long(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await refused(flow)
        state = await flow.runtime.services().state()
        assert 590 < state.connections["fake"].held_seconds <= 600
        await resume(flow)
        await flow.settle()


def test_a_delay_may_be_over_before_it_is_stored() -> None:
    """A database that answers late made the failure handler itself fail."""
    now = 0.0
    backoff = RateLimitBackoff(clock=lambda: now)
    backoff.refused("fake", 1.0)
    now = 2.0
    backoff.succeeded("fake")
    backoff.stored("fake")
    assert backoff.left("fake") == 0
