"""The circuit breaker opens for an outage of the external system, not for one of this process."""

from dataclasses import replace

import pytest

from tests.support.fake import FakeIntegration
from zenskar import CallFailed, Failure, FailureKind, Health
from zenskar.plugins.configuration import configure
from zenskar.plugins.discovery import Plugin
from zenskar.plugins.invoker import PluginInvoker
from zenskar.plugins.router import PluginRouter
from zenskar.settings import load
from zenskar.sync.resilience.circuit_breaker import CircuitBreaker
from zenskar.telemetry.metrics import Metrics

UNANSWERED = Failure(FailureKind.UNKNOWN_OUTCOME, "no answer within 5 s")
RECORDS = [f"record {number}" for number in range(100)]


def breaker_of(*answers: Health | Failure) -> CircuitBreaker:
    """Return a circuit breaker of a system whose health checks end like this, one by one."""
    left = list(answers)

    class Answering(FakeIntegration):
        async def health(self) -> Health:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Failure):
                raise CallFailed(answer)
            return answer

    plugins = {"fake": Plugin("fake", "", "", integration=Answering)}
    connections = configure(plugins, load({}), {})
    router = PluginRouter({name: each.integration for name, each in connections.items()})
    clock = iter(range(0, 10_000, 100) if UNANSWERED in answers else range(10_000))
    invoker = PluginInvoker(router, Metrics(), monotonic=lambda: float(next(clock)))
    return CircuitBreaker(invoker, connections)


@pytest.mark.parametrize("stalled", [False, True])
async def test_calls_during_which_this_process_stood_still_are_no_outage(stalled: bool) -> None:
    breaker = breaker_of(Health(ok=False))
    failures = [replace(UNANSWERED, stalled=stalled) for _ in RECORDS]
    outages = [
        await breaker.outage("fake", record, failure)
        for record, failure in zip(RECORDS, failures, strict=True)
    ]
    assert any(outages) is not stalled


async def test_health_is_asked_again_if_this_process_stood_still_meanwhile() -> None:
    assert await breaker_of(UNANSWERED, Health(ok=True)).healthy("fake")
    assert not await breaker_of(UNANSWERED, Health(ok=False)).healthy("fake")
    assert not await breaker_of(UNANSWERED).healthy("fake")
