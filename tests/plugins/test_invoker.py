"""Every call to an external system is bounded in time, measured and checked."""

import asyncio
from typing import Any

import pytest

from tests.support.fake import FakeIntegration, FakeSystem, fake_connection
from zenskar import CallFailed, ExternalObject, Failure, FailureKind
from zenskar.plugins.invoker import Answer, PluginInvoker
from zenskar.plugins.router import PluginRouter
from zenskar.telemetry.metrics import Metrics


def invoker_of(answer: Any) -> PluginInvoker:
    """Return an invoker whose integration answers reads with this, or raises it."""

    class Answering(FakeIntegration):
        async def fetch(self, entity_type: str, external_id: str) -> Any:  # type: ignore[override]
            if isinstance(answer, asyncio.Event):
                await answer.wait()
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def fetch_many(self, entity_type: str, external_ids: Any) -> Any:
            return answer

        async def find(self, entity_type: str, record_id: str) -> Any:  # type: ignore[override]
            return answer

    integration = Answering(fake_connection("fake", FakeSystem()).connection)
    ticks = iter(range(100))
    return PluginInvoker(
        PluginRouter({"fake": integration}),
        Metrics(),
        clock=lambda: 1000.0,
        monotonic=lambda: float(next(ticks)),
    )


async def fetched(invoker: PluginInvoker, seconds: float = 5.0) -> Answer[ExternalObject]:
    return await invoker.fetch("fake", "customer", "x", seconds=seconds)


def counted(invoker: PluginInvoker, hook: str, result: str) -> float | None:
    labels = {"source": "fake", "hook": hook, "result": result}
    return invoker.metrics.registry.get_sample_value("zenskar_calls_total", labels)


async def test_an_answer_has_the_times_between_which_it_was_given() -> None:
    seen = ExternalObject("customer", "x", {"name": "Ada"})
    invoker = invoker_of(seen)
    answer = await fetched(invoker)
    assert answer.value is seen
    # The clock is constant, so the monotonic clock gives the distance of the times.
    assert answer.timing.received - answer.timing.sent >= answer.timing.seconds > 0
    assert counted(invoker, "fetch", "ok") == 1


async def test_an_answer_that_never_comes_has_an_unknown_outcome() -> None:
    invoker = invoker_of(asyncio.Event())
    with pytest.raises(CallFailed, match=r"no answer within 0\.01 s") as caught:
        await fetched(invoker, 0.01)
    assert caught.value.failure.kind is FailureKind.UNKNOWN_OUTCOME
    assert counted(invoker, "fetch", "unknown_outcome") == 1


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize(("seconds", "stalled"), [(0.5, False), (30.0, True)])
async def test_a_failure_says_whether_this_process_stood_still(
    answered: bool, seconds: float, stalled: bool
) -> None:
    now = [0.0]

    class StandingStill(FakeIntegration):
        async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
            now.append(seconds)
            if answered:
                raise CallFailed(Failure(FailureKind.TRANSIENT, "the answer broke off"))
            await asyncio.Event().wait()
            raise AssertionError

    integration = StandingStill(fake_connection("fake", FakeSystem()).connection)
    router = PluginRouter({"fake": integration})
    invoker = PluginInvoker(router, Metrics(), monotonic=lambda: now[-1])
    with pytest.raises(CallFailed) as caught:
        await fetched(invoker, 0.01)
    assert caught.value.failure.stalled is stalled


@pytest.mark.parametrize("answer", [None, {"name": "Ada"}])
async def test_an_answer_of_another_type_is_a_bug(answer: Any) -> None:
    invoker = invoker_of(answer)
    with pytest.raises(CallFailed, match="instead of ExternalObject") as caught:
        await fetched(invoker)
    assert caught.value.failure.kind is FailureKind.BUG
    assert counted(invoker, "fetch", "bug") == 1


async def test_a_proven_deletion_is_an_answer_to_a_fetch() -> None:
    invoker = invoker_of(CallFailed(Failure(FailureKind.GONE, "deleted")))
    answer = await fetched(invoker)
    assert answer.value == ExternalObject("customer", "x", None)
    assert counted(invoker, "fetch", "ok") == 1


@pytest.mark.parametrize(
    ("answer", "problem"), [(None, "NoneType"), ([None], "NoneType"), (7, "int")]
)
async def test_many_objects_are_objects(answer: Any, problem: str) -> None:
    invoker = invoker_of(answer)
    with pytest.raises(CallFailed, match=f"returned {problem} instead of") as caught:
        await invoker.fetch_many("fake", "customer", ["x"], seconds=5)
    assert caught.value.failure.kind is FailureKind.BUG


async def test_only_the_wanted_objects_are_an_answer() -> None:
    wanted = ExternalObject("customer", "x", {"name": "Ada"})
    others = ExternalObject("customer", "z", {}), ExternalObject("order", "y", {})
    found = await invoker_of([wanted, *others]).fetch_many(
        "fake", "customer", ["x", "y"], seconds=5
    )
    assert found.value == {"x": wanted}


async def test_a_find_may_find_nothing() -> None:
    found = await invoker_of(None).find("fake", "customer", "r", seconds=5)
    assert found is None
