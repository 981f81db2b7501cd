"""Every hook call reaches the one owner of the source system."""

import asyncio

import pytest

from tests.support.fake import FakeIntegration, FakeSystem, fake_connection
from zenskar import CallFailed, Failure, FailureKind
from zenskar.errors import NotFound, PluginError
from zenskar.plugins.router import PluginRouter


@pytest.fixture
def systems() -> dict[str, FakeSystem]:
    return {"left": FakeSystem(), "right": FakeSystem()}


@pytest.fixture
def router(systems: dict[str, FakeSystem]) -> PluginRouter:
    return PluginRouter({name: fake_connection(name, system) for name, system in systems.items()})


async def test_only_the_owner_is_called(
    router: PluginRouter, systems: dict[str, FakeSystem]
) -> None:
    systems["right"].objects["x"] = {"name": "Ada"}
    await router.call_async("right", "fetch", entity_type="customer", external_id="x")
    assert (systems["left"].fetches, systems["right"].fetches) == ([], ["x"])


async def test_a_hook_that_returns_none_returns_none(router: PluginRouter) -> None:
    assert await router.call_async("left", "find", entity_type="customer", record_id="x") is None


async def test_a_hook_need_not_take_all_arguments() -> None:
    class Frugal(FakeIntegration):
        async def find(self, record_id: str) -> object:  # type: ignore[override]
            return record_id

    router = PluginRouter({"fake": Frugal(fake_connection("fake", FakeSystem()).connection)})
    assert await router.call_async("fake", "find", entity_type="customer", record_id="x") == "x"


def test_an_unknown_source_is_not_found(router: PluginRouter) -> None:
    with pytest.raises(NotFound, match="'nobody'"):
        router.call("nobody", "health")


def test_owners_are_told_by_entity_type(router: PluginRouter) -> None:
    assert router.owners_of("customer") == ("left", "right")
    assert router.owners_of("invoice") == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), FailureKind.UNKNOWN_OUTCOME),
        (ConnectionResetError(), FailureKind.UNKNOWN_OUTCOME),
        (KeyError("canary@example.com"), FailureKind.BUG),
    ],
)
async def test_errors_become_failures_by_recovery(error: Exception, kind: FailureKind) -> None:
    class Failing(FakeIntegration):
        async def fetch(self, entity_type: str, external_id: str) -> object:  # type: ignore[override]
            raise error

    Failing.system = FakeSystem()
    router = PluginRouter({"fake": Failing(fake_connection("fake", Failing.system).connection)})
    with pytest.raises(CallFailed) as caught:
        await router.call_async("fake", "fetch", entity_type="customer", external_id="x")
    assert caught.value.failure.kind is kind
    assert "canary" not in str(caught.value)


async def test_a_cancellation_within_a_plugin_ends_nothing_but_its_call() -> None:
    class Cancelled(FakeIntegration):
        async def fetch(self, entity_type: str, external_id: str) -> object:  # type: ignore[override]
            lost = asyncio.create_task(asyncio.sleep(60))
            lost.cancel()
            await lost

        def to_canonical(self, seen: object) -> object:  # type: ignore[override]
            raise asyncio.CancelledError

    router = PluginRouter({"fake": Cancelled(fake_connection("fake", FakeSystem()).connection)})
    with pytest.raises(CallFailed, match="CancelledError in the integration of fake"):
        await router.call_async("fake", "fetch", entity_type="customer", external_id="x")
    with pytest.raises(CallFailed, match="CancelledError in the integration of fake"):
        router.call("fake", "to_canonical", seen=None)


@pytest.mark.parametrize("kind", [KeyError, SystemExit])
async def test_an_error_that_cannot_be_classified_is_a_bug(kind: type[BaseException]) -> None:
    class Unclear(FakeIntegration):
        async def fetch(self, entity_type: str, external_id: str) -> object:  # type: ignore[override]
            raise OSError

        def classify_error(self, error: Exception) -> Failure | None:
            raise kind("canary@example.com")

    router = PluginRouter({"fake": Unclear(fake_connection("fake", FakeSystem()).connection)})
    with pytest.raises(CallFailed) as caught:
        await router.call_async("fake", "fetch", entity_type="customer", external_id="x")
    assert caught.value.failure.kind is FailureKind.BUG
    assert "canary" not in str(caught.value)


async def test_a_caller_that_is_cancelled_stops_waiting() -> None:
    waits = asyncio.Event()

    class Slow(FakeIntegration):
        async def fetch(self, entity_type: str, external_id: str) -> object:  # type: ignore[override]
            waits.set()
            await asyncio.Event().wait()

    router = PluginRouter({"fake": Slow(fake_connection("fake", FakeSystem()).connection)})
    call = router.call_async("fake", "fetch", entity_type="customer", external_id="x")
    caller = asyncio.create_task(call)
    await waits.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_an_integration_may_raise_a_classified_failure() -> None:
    class Failing(FakeIntegration):
        async def fetch(self, entity_type: str, external_id: str) -> object:  # type: ignore[override]
            raise CallFailed(Failure(FailureKind.CREDENTIALS, "no"))

    router = PluginRouter({"fake": Failing(fake_connection("fake", FakeSystem()).connection)})
    with pytest.raises(CallFailed) as caught:
        await router.call_async("fake", "fetch", entity_type="customer", external_id="x")
    assert caught.value.failure.kind is FailureKind.CREDENTIALS


def test_a_hook_with_other_arguments_is_refused_by_connection_name() -> None:
    class Wrong(FakeIntegration):
        def verify_webhook(self, letter: str) -> None:  # type: ignore[override]
            """Takes what nobody hands over."""

    with pytest.raises(PluginError, match=r"connection fake.*letter"):
        PluginRouter({"fake": Wrong(fake_connection("fake", FakeSystem()).connection)})
