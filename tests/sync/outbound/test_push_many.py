"""Pushes that wait together are made in one call; each has its own intent and outcome."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from zenskar import CallFailed, CallLimit, FailureKind, IntentKind, Push, Usage
from zenskar.sync.outbound.batch_pusher import BatchPusher
from zenskar.sync.resilience.rate_limit import HELD

NAMES = [f"Customer {number}" for number in range(5)]
DEAD = "SELECT count(*) FROM sync_events WHERE status = 'dead'"
OPEN = "SELECT count(*) FROM push_intents WHERE state IN ('sent', 'unknown')"


@asynccontextmanager
async def gathering(
    database_url: str, *, created: int = 5, **parts: Any
) -> AsyncIterator[tuple[Flow, FakeSystem]]:
    """Create customers before any worker runs."""
    system = FakeSystem(gathering=True)
    for name, value in parts.items():
        setattr(system, name, value)
    async with open_flow(
        database_url,
        working=False,
        systems={"fake": system},
        propagate_deletes=True,
        breaker_failures=2,
    ) as flow:
        for name in NAMES[:created]:
            await flow.create(name=name)
        yield flow, system


async def synced(flow: Flow, names: list[str] = NAMES) -> None:
    """Run a worker until the system has exactly one object of each name."""
    async with running_worker(flow.runtime):
        await flow.settle()
    await in_order(flow, names)


async def in_order(flow: Flow, names: list[str]) -> None:
    objects = flow.systems["fake"].objects
    assert sorted(data["name"] for data in objects.values() if data is not None) == names
    for mapping in await flow.rows("SELECT entity_id, external_id FROM external_mappings"):
        data = objects[mapping["external_id"]]
        assert data is None or data["record_id"] == str(mapping["entity_id"])
    assert await flow.scalar(OPEN) == 0


def once(hook: str, error: Exception) -> Any:
    """Raise an error at the first call of a hook."""
    errors = [error]

    def fail(called: str, _about: str | None) -> None:
        if called == hook and errors:
            raise errors.pop()

    return fail


async def test_pushes_that_wait_are_made_together(database_url: str) -> None:
    async with gathering(database_url) as (flow, system):
        await synced(flow)
        ids = [str(row["id"]) for row in await flow.rows("SELECT id FROM customers ORDER BY name")]
        for record_id in ids[:3]:
            await flow.runtime.customers.patch(record_id, {"phone": "1"}, correlation_id="c")
        await flow.runtime.customers.delete(ids[3], correlation_id="c")
        await synced(flow, [*NAMES[:3], NAMES[4]])
        creates, changes = system.gathered
        assert len({push.idempotency_key for push in creates}) == 5
        assert sorted(push.kind for push in changes) == ["delete", *["update"] * 3]
        assert await flow.scalar("SELECT count(*) FROM push_intents WHERE state = 'answered'") == 9


async def test_a_single_push_is_a_push(database_url: str) -> None:
    async with gathering(database_url, created=1) as (flow, system):
        await synced(flow, NAMES[:1])
        assert system.gathered == []
        assert len(system.calls) == 1


async def test_a_refused_push_fails_alone(database_url: str) -> None:
    def refuse(push: Push) -> None:
        if push.body["name"] == NAMES[2]:
            raise FakeError(FailureKind.REJECTED)

    async with gathering(database_url, before=refuse) as (flow, system):
        await synced(flow, [*NAMES[:2], *NAMES[3:]])
        assert len(system.gathered) == 1
        assert await flow.scalar(DEAD) == 1


@pytest.mark.parametrize("hook", ["push_many", "push_many_answered"])
@pytest.mark.parametrize(
    "error", [FakeError(FailureKind.UNKNOWN_OUTCOME), KeyError("a bug"), TimeoutError()]
)
async def test_a_lost_answer_is_resolved_for_each(
    database_url: str, hook: str, error: Exception
) -> None:
    """The calls of a lost batch count as one failure, so the connection stays active."""
    async with gathering(database_url, reading=once(hook, error)) as (flow, system):
        await synced(flow)
        assert len(system.gathered[0]) == 5
        assert await flow.scalar("SELECT count(*) FROM connections WHERE state = 'paused'") == 0
        assert await flow.scalar(DEAD) == 0
        after_a_bug = [push for pushes in system.gathered[1:] for push in pushes]
        assert after_a_bug == [] or not isinstance(error, KeyError)


async def test_a_refused_call_is_made_again_for_each(database_url: str) -> None:
    error = FakeError(FailureKind.REJECTED)
    async with gathering(database_url, reading=once("push_many", error)) as (flow, system):
        await synced(flow)
        assert (len(system.gathered), len(system.calls)) == (1, 5)
        assert await flow.scalar(DEAD) == 0


@pytest.mark.parametrize(
    "results", [lambda found: found[::-1], lambda found: found[1:], lambda _found: None]
)
async def test_results_in_another_order_are_not_believed(database_url: str, results: Any) -> None:
    async with gathering(database_url, results=results) as (flow, system):
        await synced(flow)
        assert len(system.gathered) == 1


async def test_a_batch_has_at_most_the_declared_number(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.fake.GatheringIntegration.push_many_limit", 2)
    async with gathering(database_url) as (flow, system):
        await synced(flow)
        assert [len(pushes) for pushes in system.gathered] == [2, 2]


async def test_a_batch_is_one_call_of_a_limit(database_url: str) -> None:
    limit = CallLimit(calls=100, seconds=3600.0, hooks=("push", "push_many"))
    parts = {"call_limits": (limit,), "usage": (Usage(used=3),)}
    async with gathering(database_url, **parts) as (flow, _):
        await synced(flow)
        assert await flow.scalar("SELECT taken[1] + others FROM call_limits") == 4


async def test_a_push_that_waited_too_long_is_not_sent(database_url: str) -> None:
    """Its lease could end before the answer, and another worker would push the record too."""
    async with gathering(database_url, created=0) as (flow, system):
        now, sent, release = [0.0], asyncio.Event(), asyncio.Event()
        context = replace(flow.runtime.context, monotonic=lambda: now[0])
        pusher = BatchPusher(context, timeout_seconds=30.0)

        async def wait(hook: str, _about: str | None) -> None:
            if hook == "push_many":
                sent.set()
                await release.wait()

        system.reading = wait
        first, second = (
            asyncio.create_task(pusher.push("fake", _create(name))) for name in NAMES[:2]
        )
        await sent.wait()
        late = asyncio.create_task(pusher.push("fake", _create(NAMES[3])))
        await asyncio.sleep(0)
        now[0] = 16.0
        release.set()
        await asyncio.gather(first, second)
        with pytest.raises(CallFailed) as caught:
            await late
        assert caught.value.failure.code == HELD
        assert len(system.calls) == 2


def _create(name: str) -> Push:
    return Push(IntentKind.CREATE, "customer", name, None, {"name": name}, f"key of {name}")
