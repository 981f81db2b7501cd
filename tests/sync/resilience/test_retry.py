"""When a failed call is tried again: by its class, by what the answer says, by connection."""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from tests.support.fake import FakeError
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar import FailureKind, Health, Push
from zenskar.errors import ConfigurationError
from zenskar.settings import load, overridden
from zenskar.sync.resilience.rate_limit import RateLimitBackoff
from zenskar.sync.resilience.retry import RetryPolicy


class MiddleDice(random.Random):
    """Halves every chance."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class LowDice(random.Random):
    """Always throws the lowest."""

    def uniform(self, a: float, b: float) -> float:
        return a


def always(kind: FailureKind, **values: Any) -> Callable[[Push], None]:
    def hook(_push: Push) -> None:
        raise FakeError(kind, **values)

    return hook


async def seconds_to_next(flow: Flow) -> float:
    """Return how long the only message still waits, once it has been given back."""
    query = "SELECT available_at FROM outbox WHERE claimed_until IS NULL AND available_at > now()"
    await until(lambda: flow.scalar(query))
    due = await flow.scalar(query)
    return (due - datetime.now(UTC)).total_seconds()


def test_backoff_doubles_up_to_its_limit_with_full_jitter() -> None:
    policy, rng = RetryPolicy(8, 1.0, 10.0), random.Random(1)
    for attempts, ceiling in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (500, 10.0)):
        delays = [policy.delay(attempts, rng) for _ in range(2000)]
        assert 0 <= min(delays) < ceiling * 0.05
        assert ceiling * 0.95 < max(delays) <= ceiling


def test_a_connection_has_settings_of_its_own() -> None:
    settings = load({}, retry_max_attempts=3, database_url="postgresql://u:p@h/d")
    environment = {"FAKE_RETRY_MAX_ATTEMPTS": "5", "FAKE_DELETE_GUARD_LIMIT": "7"}
    own = overridden(settings, environment, "fake")
    assert (own.retry_max_attempts, own.delete_guard_limit) == (5, 7)
    assert (own.retry_max_seconds, own.database_url) == (
        settings.retry_max_seconds,
        settings.database_url,
    )
    assert overridden(settings, environment, "other") is settings
    with pytest.raises(ConfigurationError, match="FAKE_RETRY_MAX_ATTEMPTS"):
        overridden(settings, {"FAKE_RETRY_MAX_ATTEMPTS": "0"}, "fake")


async def test_attempts_are_those_of_the_connection(database_url: str) -> None:
    environment = {"PATIENT_RETRY_MAX_ATTEMPTS": "3"}
    async with open_flow(
        database_url, "hasty", "patient", environment=environment, retry_max_attempts=1
    ) as flow:
        for system in flow.systems.values():
            system.before = always(FailureKind.TRANSIENT)
        await flow.create()
        await flow.settle()
        attempts = {e["source_system"]: e["attempts"] for e in await flow.events("outbound")}
        assert attempts == {"hasty": 1, "patient": 3}


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.UNKNOWN_OUTCOME])
async def test_what_the_answer_says_is_waited_for(database_url: str, kind: FailureKind) -> None:
    async with open_flow(database_url) as flow:
        flow.systems["fake"].before = always(kind, retry_after=600.0)
        await flow.create()
        assert 590 < await seconds_to_next(flow) <= 600
        assert len(flow.systems["fake"].calls) == 1


async def test_a_short_answer_does_not_shorten_the_backoff(database_url: str) -> None:
    settings = {"retry_base_seconds": 1e6, "retry_max_seconds": 1e6}
    async with open_flow(database_url, **settings) as flow:
        flow.systems["fake"].before = always(FailureKind.TRANSIENT, retry_after=0.001)
        await flow.create()
        assert await seconds_to_next(flow) > 10


async def test_a_rate_limit_slows_the_whole_connection_and_no_other(database_url: str) -> None:
    async with open_flow(database_url, "limited", "free") as flow:
        limited, free = flow.systems["limited"], flow.systems["free"]
        limited.before = always(FailureKind.RATE_LIMITED, retry_after=600.0)
        await flow.create()
        held = "SELECT count(*) FROM outbox WHERE available_at > now() AND claimed_until IS NULL"
        await until(lambda: flow.scalar(f"SELECT ({held}) = 1"))
        for _ in range(3):
            await flow.create()
        await until(lambda: flow.scalar(f"SELECT ({held}) = 4"))
        await until(lambda: _grown(free.calls, 4))
        assert len(limited.calls) == 1
        assert await flow.scalar("SELECT max(attempts) FROM sync_events") == 0


def test_a_brake_holds_longer_each_time_in_a_row() -> None:
    now = [0.0]
    backoff = RateLimitBackoff(random.Random(3), lambda: now[0])
    longest = []
    for _ in range(8):
        backoff.refused("fake", None)
        backoff.refused("fake", None)
        longest.append(backoff.left("fake"))
        now[0] += longest[-1]
        assert backoff.wait("fake") == 0.0
    assert backoff._holds["fake"].in_a_row == 8
    assert max(longest) > 4 > longest[0]
    assert max(longest) <= 300
    backoff.succeeded("fake")
    assert backoff._holds == {}


def test_a_brake_waits_as_long_as_the_answer_says_and_hardly_longer() -> None:
    backoff = RateLimitBackoff(LowDice(), lambda: 0.0)
    assert backoff.refused("fake", 600.0) == 600.0
    backoff.succeeded("fake")
    assert backoff.wait("fake") == 600.0
    assert backoff.wait("other") == 0.0
    spread = RateLimitBackoff(random.Random(1), lambda: 0.0)
    spread.refused("fake", 600.0)
    waits = [spread.wait("fake") for _ in range(200)]
    assert 600 <= min(waits) < 601
    assert 612 < max(waits) <= 615


@pytest.mark.parametrize("told", [math.nan, math.inf, -5.0, 0.0, 1e300])
def test_a_brake_makes_something_of_whatever_is_answered(told: float) -> None:
    backoff = RateLimitBackoff(random.Random(1), lambda: 0.0)
    assert 0 <= backoff.refused("fake", told) <= 86_400
    assert 0 <= backoff.wait("fake") < 86_420


async def test_a_failing_push_does_not_hold_up_its_records_newer_state(database_url: str) -> None:
    slow = {"retry_base_seconds": 1e6, "retry_max_seconds": 1e6}
    async with open_flow(database_url, **slow) as flow:
        system = flow.systems["fake"]

        def refuse_old(push: Push) -> None:
            if push.body.get("name") == "Old":
                raise FakeError(FailureKind.TRANSIENT)

        record_id = await flow.create()
        await flow.settle()
        system.before = refuse_old
        await flow.runtime.customers.patch(record_id, {"name": "Old"}, correlation_id="test")
        await until(lambda: flow.scalar("SELECT true FROM sync_events WHERE status = 'retrying'"))
        await flow.runtime.customers.patch(record_id, {"name": "New"}, correlation_id="test")
        await until(
            lambda: flow.scalar("SELECT count(*) = 2 FROM sync_events WHERE status = 'succeeded'")
        )
        assert [seen and seen["name"] for seen in system.objects.values()] == ["New"]


async def test_a_restart_forgets_no_attempt_and_no_wait(database_url: str) -> None:
    slow = {"retry_base_seconds": 1e6, "retry_max_seconds": 1e6}
    async with open_flow(database_url, **slow) as flow:
        flow.systems["fake"].before = always(FailureKind.TRANSIENT)
        await flow.create()
        before = await seconds_to_next(flow)
    async with open_flow(database_url, **slow) as flow:
        assert abs(before - await seconds_to_next(flow)) < 60
        (event,) = await flow.events("outbound")
        assert (event["status"], event["attempts"]) == ("retrying", 1)


def test_by_default_hours_pass_before_a_person_is_needed() -> None:
    """Each pause at its middle; the first ones are short."""
    retry = RetryPolicy.of(load({}))
    pauses = [retry.delay(attempts, MiddleDice()) for attempts in range(1, retry.max_attempts)]
    assert sum(pauses) > 4 * 3600
    assert sum(pauses[:5]) < 20
    assert max(pauses) <= 3600


async def test_a_pause_of_an_hour_ends_with_the_outage(database_url: str) -> None:
    slow = {"retry_base_seconds": 1e6, "retry_max_seconds": 1e6, "probe_seconds": 0.05}
    async with open_flow(database_url, breaker_failures=2, **slow) as flow:
        system = flow.systems["fake"]
        system.before = always(FailureKind.TRANSIENT)
        system.health = Health(ok=False, detail="away")
        await flow.create()
        await flow.until_scalar("SELECT count(*) FROM sync_events WHERE status = 'retrying'")
        await flow.create()
        await flow.until_scalar("SELECT count(*) FROM connections WHERE reason = 'outage'")
        system.before = lambda _push: None
        system.health = Health(ok=True)
        await flow.settle()
        assert len(system.objects) == 2


async def test_refused_credentials_are_told_of_once(database_url: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with open_flow(database_url, working=False) as flow:
            flow.systems["fake"].before = always(FailureKind.CREDENTIALS)
            for _ in range(8):
                await flow.create()
            async with running_worker(flow.runtime):
                parked = "SELECT count(*) = 8 FROM outbox WHERE parked"
                await until(lambda: flow.scalar(parked))
            assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0
            assert await flow.scalar("SELECT max(attempts) FROM sync_events") == 0
    alerts = [log for log in logs if log["event"] == "connection_paused"]
    assert [(log["log_level"], log["reason"]) for log in alerts] == [("error", "credentials")]


async def test_an_outage_that_health_does_not_see_makes_no_dead_letters(
    database_url: str,
) -> None:
    settings = {"breaker_failures": 2, "retry_max_attempts": 4, "probe_seconds": 0.05}
    async with open_flow(database_url, **settings) as flow:
        system = flow.systems["fake"]
        system.before = always(FailureKind.UNKNOWN_OUTCOME)
        for _ in range(8):
            await flow.create()
        await until(lambda: flow.scalar("SELECT reason = 'outage' FROM connections"))
        calls = len(system.calls)
        await until(lambda: _grown(system.calls, calls + 40))
        assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0
        system.before = lambda _push: None
        await flow.settle()
        assert len(system.objects) == 8


async def _grown(calls: list[Push], size: int) -> bool:
    return len(calls) >= size
